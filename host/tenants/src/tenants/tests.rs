//! Who is a tenant, and what counts against one.

use nereid_inference::{ErrorKind, TenantReading};

use super::*;

fn quotas(quota: Quota) -> BTreeMap<Arc<str>, Quota> {
    BTreeMap::from([("acme".into(), quota)])
}

#[test]
fn a_list_is_whole_and_without_one_every_name_is_a_tenant() {
    let listed = Tenants::listed(quotas(Quota::default()));
    assert_eq!(&**listed.find("acme").unwrap().name(), "acme");
    assert_eq!(listed.find("acne").unwrap_err().0, "nereid.toml lists no tenant 'acne', only acme");
    let open = Tenants::listed(BTreeMap::new());
    assert_eq!(&**open.find("acne").unwrap().name(), "acne");
}

#[test]
fn a_request_is_under_way_until_its_ticket_is_gone() {
    let tenants = Tenants::listed(quotas(Quota::new(None, None, Some(1)).unwrap()));
    let tenant = tenants.find("acme").unwrap();
    let ticket = tenant.admit(100).unwrap();
    let error = tenant.admit(100).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    assert_eq!(
        error.message(),
        "tenant 'acme' has 1 requests under way, as many as it may; try again when one is answered"
    );
    assert_eq!(tenants.readings()[0].under_way, 1);
    drop(ticket);
    drop(tenant.admit(11).unwrap());
    let expected = TenantReading {
        tenant: "acme".into(),
        admitted: 2,
        input_bytes: 111,
        rejected_for_rate: 0,
        rejected_for_concurrency: 1,
        under_way: 0,
    };
    assert_eq!(tenants.readings(), [expected]);
}

#[test]
fn a_rate_says_when_to_come_again() {
    let tenants = Tenants::listed(quotas(Quota::new(Some(0.1), Some(1), None).unwrap()));
    let tenant = tenants.find("acme").unwrap();
    drop(tenant.admit(0).unwrap());
    let error = tenant.admit(0).unwrap_err();
    let text = error.message();
    assert!(text.starts_with("tenant 'acme' is beyond its 0.1 requests per second (burst 1); try again in "), "{text}");
    assert_eq!(tenants.readings()[0].rejected_for_rate, 1);
}

#[test]
fn one_tenant_does_not_use_up_what_is_anothers() {
    let quota = Quota::new(Some(1.0), Some(1), Some(1)).unwrap();
    let tenants = Tenants::listed(BTreeMap::from([("a".into(), quota), ("b".into(), quota)]));
    let _held = tenants.find("a").unwrap().admit(0).unwrap();
    assert!(tenants.find("a").unwrap().admit(0).is_err());
    assert!(tenants.find("b").unwrap().admit(0).is_ok());
}

#[test]
fn a_new_list_counts_from_the_next_request_on_and_forgets_nothing_that_is_under_way() {
    let tenants = Tenants::listed(quotas(Quota::new(None, None, Some(2)).unwrap()));
    let acme = tenants.find("acme").unwrap();
    let held = [acme.admit(1).unwrap(), acme.admit(1).unwrap()];
    tenants.change(quotas(Quota::new(None, None, Some(3)).unwrap()));
    let third = acme.admit(1).unwrap();
    assert!(acme.admit(1).unwrap_err().message().contains("has 3 requests under way"));
    tenants.change(quotas(Quota::new(None, None, Some(1)).unwrap()));
    drop((held, third));
    let _held = acme.admit(1).unwrap();
    assert!(acme.admit(1).unwrap_err().message().contains("has 1 requests under way"));
    assert_eq!(tenants.readings()[0].admitted, 4);
}

#[test]
fn a_tenant_that_is_listed_no_more_is_admitted_nothing_until_it_is_again() {
    let listed = |name: &str| BTreeMap::from([(name.into(), Quota::default())]);
    let tenants = Tenants::listed(listed("acme"));
    let acme = tenants.find("acme").unwrap();
    tenants.change(listed("bolt"));
    let error = acme.admit(1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permission);
    assert_eq!(error.message(), "nereid.toml lists no tenant 'acme' any more: its keys are for nothing");
    assert_eq!(tenants.find("acme").unwrap_err().0, "nereid.toml lists no tenant 'acme', only bolt");
    tenants.change(listed("acme"));
    assert!(acme.admit(1).is_ok() && tenants.find("acme").is_ok() && tenants.find("bolt").is_err());
    assert_eq!(tenants.readings().len(), 1, "nobody has a key of 'bolt'");
    tenants.change(BTreeMap::new());
    assert!(acme.admit(1).is_ok() && tenants.find("whoever").is_ok(), "without a list every name is a tenant");
}
