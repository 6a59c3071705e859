//! No route escapes the access check: proved over the very list that the router is built from.

use http::{Method, Request};
use nereid_access::{Category, Policy, Restrictions, Surface};

use super::doubles::{Answer, Behaviour, double, frontend, send};
use crate::{HttpFrontend, router, routes::ROUTES};

const METHODS: [Method; 7] =
    [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::HEAD, Method::OPTIONS, Method::PATCH];

/// A server where each of these categories wants its own secret: the header `key` with the category's name.
pub(super) fn restricted(categories: &[Category]) -> HttpFrontend {
    let groups: Vec<_> = categories.iter().map(|category| format!("{0}:key={0}", category.name())).collect();
    let mut frontend = frontend(vec![double("m", Behaviour::Echo)]);
    frontend.settings.policy = Policy::new(Restrictions::parse(Surface::Http, &groups).unwrap(), None);
    frontend
}

/// A path that a route of the list matches.
fn concrete(path: &str) -> String {
    [("{model}", "m"), ("{version}", "1"), ("{repository}", "r"), ("{region}", "x")]
        .iter()
        .fold(path.to_owned(), |path, (parameter, value)| path.replace(parameter, value))
}

async fn ask(frontend: HttpFrontend, method: &Method, path: &str, secret: Option<&str>) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(secret) = secret {
        request = request.header("key", secret);
    }
    send(&router(frontend), request.body(axum::body::Body::empty()).unwrap()).await
}

#[tokio::test]
async fn with_everything_restricted_no_route_answers_without_its_secret() {
    for route in ROUTES {
        let path = concrete(route.path);
        for method in &METHODS {
            for secret in [None, Some("wrong")] {
                let answer = ask(restricted(&Category::ALL), method, &path, secret).await;
                assert_eq!(answer.status, 403, "{method} {path}");
                let text = r#"{"error":"This API is restricted, expecting header 'key'"}"#;
                assert!(answer.body == text || *method == Method::HEAD, "{method} {path}: {answer:?}");
            }
            let answer = ask(restricted(&Category::ALL), method, &path, Some(route.category.name())).await;
            assert_ne!(answer.status, 403, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_restricted_category_refuses_exactly_its_own_routes() {
    for restricted_category in Category::ALL {
        for route in ROUTES {
            let path = concrete(route.path);
            for method in &METHODS {
                let answer = ask(restricted(&[restricted_category]), method, &path, None).await;
                let is_refused = answer.status == 403;
                assert_eq!(
                    is_refused,
                    route.category == restricted_category,
                    "{restricted_category:?}: {method} {path}"
                );
            }
        }
    }
}

#[tokio::test]
async fn the_restriction_comes_before_the_method_and_before_the_model() {
    for (method, path) in [(Method::GET, "/v2/models/m/infer"), (Method::POST, "/v2/models/none/versions/9/infer")] {
        assert_eq!(ask(restricted(&[Category::Inference]), &method, path, None).await.status, 403);
        assert_ne!(ask(restricted(&[Category::Inference]), &method, path, Some("inference")).await.status, 403);
    }
}

#[tokio::test]
async fn a_path_that_does_not_exist_belongs_to_no_category() {
    for path in ["/", "/v2/", "/v2/models/m/nothing", "/v2//health/live", "/metrics"] {
        let answer = ask(restricted(&Category::ALL), &Method::GET, path, None).await;
        assert_eq!(answer.status, 404, "{path}");
    }
}

#[test]
fn every_category_of_http_has_a_route() {
    for category in Category::ALL.into_iter().filter(|category| *category != Category::Metrics) {
        assert!(ROUTES.iter().any(|route| route.category == category), "{category:?}");
    }
}
