//! Names that clash, series that end, and how it all looks on the page.

use prometheus::TextEncoder;

use super::*;

fn head(name: &str, kind: CustomKind) -> MetricHead {
    MetricHead { name: name.to_owned(), description: "Things".to_owned(), kind }
}

fn labels(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn page(metrics: &CustomMetrics) -> String {
    TextEncoder::new().encode_to_string(&metrics.gather()).unwrap()
}

#[test]
fn the_page_shows_each_models_series_under_its_name() {
    let metrics = Arc::new(CustomMetrics::default());
    let (a, b) = (metrics.of_model(&"a".into()), metrics.of_model(&"b".into()));
    let counter = || head("things_total", CustomKind::Counter);
    a.open(counter(), labels(&[("kind", "x"), ("area", "y")]), 10).unwrap().add(2.0);
    a.open(counter(), labels(&[("area", "y"), ("kind", "x")]), 10).unwrap().add(1.5);
    b.open(counter(), vec![], 10).unwrap().add(1.0);
    let histogram = a.open(head("sizes", CustomKind::Histogram(vec![1.0, 10.0])), vec![], 10).unwrap();
    [0.5, 1.0, 2.0, 100.0, f64::NAN].iter().for_each(|size| histogram.observe(*size));
    let expected = "\
# HELP sizes Things
# TYPE sizes histogram
sizes_bucket{model=\"a\",le=\"1\"} 2
sizes_bucket{model=\"a\",le=\"10\"} 3
sizes_bucket{model=\"a\",le=\"+Inf\"} 5
sizes_sum{model=\"a\"} 103.5
sizes_count{model=\"a\"} 5
# HELP things_total Things
# TYPE things_total counter
things_total{model=\"a\",area=\"y\",kind=\"x\"} 3.5
things_total{model=\"b\"} 1
";
    assert_eq!(page(&metrics), expected);
}

#[test]
fn series_outlive_a_generation_and_end_with_the_model() {
    let metrics = Arc::new(CustomMetrics::default());
    let old = metrics.of_model(&"m".into());
    old.open(head("level", CustomKind::Gauge), vec![], 1).unwrap().set(3.0);
    let new = metrics.of_model(&"m".into());
    drop(old);
    assert_eq!(new.open(head("level", CustomKind::Gauge), vec![], 1).unwrap().value(), 3.0);
    drop(new);
    assert_eq!(page(&metrics), "");
}

#[test]
fn a_name_has_one_kind_in_all_models() {
    let metrics = Arc::new(CustomMetrics::default());
    let (a, b) = (metrics.of_model(&"a".into()), metrics.of_model(&"b".into()));
    a.open(head("things", CustomKind::Counter), vec![], 10).unwrap();
    let error = b.open(head("things", CustomKind::Gauge), vec![], 10).unwrap_err();
    assert_eq!(error.message(), "metric 'things' is a counter already and cannot be opened as a gauge");
    b.open(head("things", CustomKind::Counter), vec![], 10).unwrap();
}

#[test]
fn what_the_page_cannot_show_is_refused() {
    let metrics = Arc::new(CustomMetrics::default());
    let model = metrics.of_model(&"m".into());
    for (name, part) in [
        ("", "is none"),
        ("9lives", "is none"),
        ("with space", "is none"),
        ("a\nb 1", "is none"),
        ("nv_gpu", "the server's own"),
        ("nereid_x", "the server's own"),
    ] {
        let error = model.open(head(name, CustomKind::Counter), vec![], 10).unwrap_err();
        assert!(error.message().contains(part), "{name}: {error}");
    }
    for given in [&[("model", "x")][..], &[("le", "1")], &[("a", "1"), ("a", "2")], &[("a-b", "1")]] {
        assert!(model.open(head("x", CustomKind::Counter), labels(given), 10).is_err(), "{given:?}");
    }
    for bounds in [vec![], vec![2.0, 1.0], vec![1.0, 1.0], vec![f64::INFINITY], vec![f64::NAN]] {
        assert!(model.open(head("x", CustomKind::Histogram(bounds.clone())), vec![], 10).is_err(), "{bounds:?}");
    }
    assert_eq!(page(&metrics), "");
}

#[test]
fn the_number_of_series_is_limited() {
    let metrics = Arc::new(CustomMetrics::default());
    let model = metrics.of_model(&"m".into());
    for value in ["1", "2"] {
        model.open(head("x", CustomKind::Counter), labels(&[("v", value)]), 2).unwrap();
    }
    let error = model.open(head("x", CustomKind::Counter), labels(&[("v", "3")]), 2).unwrap_err();
    assert!(error.message().ends_with("the limit (metric_series)"), "{error}");
    model.open(head("x", CustomKind::Counter), labels(&[("v", "1")]), 2).unwrap();
}
