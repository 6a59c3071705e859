//! Groups as they are written, the headers that meet them, and what is refused at the start.

use http::HeaderValue;

use super::*;

fn parse(surface: Surface, groups: &[&str]) -> Result<Restrictions, String> {
    let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
    Restrictions::parse(surface, &groups).map_err(|error| error.to_string())
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())).collect()
}

#[track_caller]
fn check_refused(surface: Surface, groups: &[&str], expected: &str) {
    assert_eq!(parse(surface, groups).unwrap_err(), expected);
}

#[test]
fn a_category_wants_its_own_header_and_the_others_none() {
    let restrictions = parse(Surface::Http, &["model-repository,health:Admin-Key=a=b", "inference:k=v"]).unwrap();
    let missing = |category, pairs| restrictions.missing(category, &headers(pairs)).map(HeaderName::as_str);
    for category in [Category::ModelRepository, Category::Health] {
        assert_eq!(missing(category, &[]), Some("admin-key"));
        assert_eq!(missing(category, &[("admin-key", "a")]), Some("admin-key"));
        assert_eq!(missing(category, &[("admin-key", "a=c")]), Some("admin-key"));
        assert_eq!(missing(category, &[("k", "v")]), Some("admin-key"));
        assert_eq!(missing(category, &[("admin-key", "a=b")]), None);
    }
    assert_eq!(missing(Category::Inference, &[("k", "v")]), None);
    assert_eq!(missing(Category::Metadata, &[]), None);
}

#[test]
fn grpc_clients_send_metadata_with_tritons_prefix() {
    let restrictions = parse(Surface::Grpc, &["inference:infer-key=infer-value"]).unwrap();
    let missing = restrictions.missing(Category::Inference, &headers(&[("infer-key", "infer-value")]));
    assert_eq!(missing.unwrap().as_str(), "triton-grpc-protocol-infer-key");
    let sent = headers(&[("triton-grpc-protocol-infer-key", "infer-value")]);
    assert_eq!(restrictions.missing(Category::Inference, &sent), None);
}

#[test]
fn a_header_sent_twice_is_no_secret_known() {
    let restrictions = parse(Surface::Http, &["health:k=v"]).unwrap();
    let mut guesses = headers(&[("k", "u")]);
    guesses.append("k", HeaderValue::from_static("v"));
    assert!(restrictions.missing(Category::Health, &guesses).is_some());
}

#[test]
fn what_is_written_wrong_is_refused_in_tritons_words() {
    for group in ["", "health", "health:", "health:k", "health:k=", "health:=v", ":k=v"] {
        let text = format!("--http-restricted-api option format is '<config name>:<setting>=<value>'. Got {group}");
        check_refused(Surface::Http, &[group], &text);
    }
    check_refused(
        Surface::Http,
        &["model-repository,health:k1=v1", "metadata,health:k2=v2"],
        "restricted api 'health' can not be specified in multiple config groups",
    );
    check_refused(
        Surface::Grpc,
        &["health,health:k1=v1"],
        "restricted protocol 'health' can not be specified in multiple config groups",
    );
    check_refused(
        Surface::Grpc,
        &["model-reposit,health:k1=v1"],
        "unknown restricted protocol 'model-reposit'; known are health, metadata, inference, shared-memory, \
         model-config, model-repository, statistics, trace, logging",
    );
    check_refused(
        Surface::Http,
        &["health:a key=v"],
        "--http-restricted-api=health:a key=v: 'a key' cannot be the name of a header",
    );
}

#[test]
fn metrics_are_a_category_of_http_only() {
    assert!(parse(Surface::Http, &["metrics:k=v"]).is_ok());
    assert!(parse(Surface::Grpc, &["metrics:k=v"]).unwrap_err().starts_with("unknown restricted protocol 'metrics'"));
}
