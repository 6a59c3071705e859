//! What is written, what is asked for, and which addresses names stand for.

use super::*;

fn grant(rules: &[&str]) -> HttpGrant {
    HttpGrant {
        rules: rules.iter().map(|rule| HttpRule::parse(rule, false).unwrap()).collect(),
        ..HttpGrant::default()
    }
}

fn allows(rules: &[&str], uri: &str) -> bool {
    grant(rules).check(&Destination::of(&uri.parse().unwrap()).unwrap()).is_ok()
}

#[test]
fn scheme_host_and_port_are_matched_exactly() {
    for (rule, uri, expected) in [
        ("api.example.com", "https://api.example.com/x", true),
        ("api.example.com", "https://API.Example.Com:443/", true),
        ("api.example.com", "http://api.example.com/", false),
        ("api.example.com", "https://api.example.com:8443/", false),
        ("api.example.com", "https://api.example.com.evil.org/", false),
        ("api.example.com", "https://example.com/", false),
        ("api.example.com", "https://api.example.com./", false),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000/", true),
        ("http://127.0.0.1:9000", "http://127.0.0.1/", false),
        ("http://127.0.0.1:9000", "http://127.1:9000/", false),
        ("http://127.0.0.1:9000", "http://2130706433:9000/", false),
        ("https://[::1]:8443", "https://[::1]:8443/", true),
        ("https://[::1]:8443", "https://[::2]:8443/", false),
        ("*.internal:8443", "https://a.internal:8443/", true),
        ("*.internal:8443", "https://internal:8443/", false),
        ("*.internal:8443", "https://a.b.internal:8443/", false),
        ("*.internal:8443", "https://ainternal:8443/", false),
        ("*.internal:8443", "https://.internal:8443/", false),
    ] {
        let destination = uri.parse::<Uri>().ok().and_then(|uri| Destination::of(&uri).ok());
        let found = destination.is_some_and(|destination| grant(&[rule]).check(&destination).is_ok());
        assert_eq!(found, expected, "{rule} and {uri}");
    }
    assert!(!allows(&[], "https://api.example.com/"));
}

#[test]
fn a_user_in_front_of_the_host_is_refused() {
    let uri: Uri = "https://api.example.com@evil.org/".parse().unwrap();
    assert!(Destination::of(&uri).is_err());
}

#[test]
fn what_is_no_rule_is_refused_in_words() {
    for (text, expected) in [
        ("ftp://x", "the scheme 'ftp' is neither"),
        ("x:0", "'0' is no port"),
        ("x:port", "'port' is no port"),
        ("x/path", "'x/path' is no host"),
        ("", "'' is no host"),
        ("*", "'*' is no host"),
        ("a.*.b", "'a.*.b' is no host"),
        ("x..y", "'x..y' is no host"),
        ("[::1", "has no ']'"),
        ("[::1]x", "something else than a port"),
        ("user@x", "'user@x' is no host"),
    ] {
        let error = HttpRule::parse(text, false).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn rules_are_shown_as_they_are_written() {
    for text in ["https://x.y", "http://x.y:8080", "https://*.y:8443", "http://[::1]:9000", "http://10.0.0.7"] {
        assert_eq!(HttpRule::parse(text, false).unwrap().to_string(), text);
    }
}

#[test]
fn a_refusal_says_what_is_listed() {
    let destination = Destination::of(&"https://evil.org/".parse().unwrap()).unwrap();
    let expected = "it may not call https://evil.org:443: list it under [grants] http in its plugin.toml";
    assert_eq!(
        grant(&["a.b", "http://c"]).check(&destination).unwrap_err(),
        format!("{expected} (listed: https://a.b, http://c)")
    );
    assert_eq!(grant(&[]).check(&destination).unwrap_err(), format!("{expected} (nothing is)"));
}

#[test]
fn a_ceiling_covers_what_is_as_narrow_as_it() {
    for (ceiling, asked, expected) in [
        ("x.y", "x.y", true),
        ("*.y", "x.y", true),
        ("*.y", "*.y", true),
        ("x.y", "*.y", false),
        ("*.y", "a.x.y", false),
        ("x.y", "http://x.y", false),
        ("x.y", "x.y:8443", false),
    ] {
        let rule = |text| HttpRule::parse(text, false).unwrap();
        assert_eq!(rule(ceiling).covers(&rule(asked)), expected, "{ceiling} over {asked}");
    }
    let (public, private) = (HttpRule::parse("x.y", false).unwrap(), HttpRule::parse("x.y", true).unwrap());
    assert!(private.covers(&public) && !public.covers(&private));
}

#[test]
fn names_stand_for_public_addresses_unless_a_rule_says_more() {
    for (address, public, private) in [
        ("93.184.216.34", true, true),
        ("2606:2800:220:1::1", true, true),
        ("127.0.0.1", false, true),
        ("127.9.9.9", false, true),
        ("::1", false, true),
        ("10.1.2.3", false, true),
        ("172.16.0.1", false, true),
        ("172.32.0.1", true, true),
        ("192.168.1.1", false, true),
        ("100.64.0.1", false, true),
        ("fd00::1", false, true),
        ("::ffff:10.0.0.1", false, true),
        ("64:ff9b::a00:1", false, true),
        ("2002:a00:1::1", false, true),
        ("169.254.169.254", false, false),
        ("fe80::1", false, false),
        ("::ffff:169.254.169.254", false, false),
        ("64:ff9b::a9fe:a9fe", false, false),
        ("0.0.0.0", false, false),
        ("::", false, false),
        ("::7f00:1", false, false),
        ("224.0.0.1", false, false),
        ("255.255.255.255", false, false),
        ("ff02::1", false, false),
        ("2001:0:a00:1::1", false, false),
    ] {
        let address: IpAddr = address.parse().unwrap();
        assert_eq!((Reach::Public.includes(address), Reach::Private.includes(address)), (public, private), "{address}");
    }
}

#[test]
fn requests_under_way_are_counted() {
    let grant = grant(&[]);
    let (first, second) = (grant.begin(2), grant.begin(2));
    assert!(first.is_some() && second.is_some() && grant.begin(2).is_none());
    drop(first);
    assert!(grant.clone().begin(2).is_some());
}
