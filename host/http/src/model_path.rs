//! Which model a path names: `/v2/models/{model}[/versions/{version}]/{action}`, or the same under `/v2/debug`.
//!
//! Names are percent-decoded. A name that contains `/` once decoded matches nothing, and a version is digits only: both
//! are 404 as an unknown path is.

use std::borrow::Cow;

use axum::extract::FromRequestParts;
use http::{Method, StatusCode, request::Parts};
use nereid_inference::InferError;
use percent_encoding::percent_decode_str;

use crate::error::error_response;

const MODELS: &str = "/v2/models/";
const DEBUG_MODELS: &str = "/v2/debug/models/";

/// The model that a path names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ModelPath<'a> {
    pub(crate) model: Cow<'a, str>,
    /// Digits, or nothing for the latest ready version.
    version: Option<&'a str>,
    /// What follows; empty for the model itself.
    pub(crate) action: &'a str,
}

/// A model path that owns its name, as handlers behind the router want it.
#[derive(Debug)]
pub(crate) struct ModelTarget {
    pub(crate) model: String,
    pub(crate) version: Option<u64>,
}

// === impl ModelPath ===

impl<'a> ModelPath<'a> {
    /// Splits a path; `None` when it is not one of a model.
    pub(crate) fn parse(path: &'a str) -> Option<Self> {
        Self::parse_rest(path.strip_prefix(MODELS)?)
    }

    /// As [`Self::parse`], also for paths of debugging.
    fn parse_any(path: &'a str) -> Option<Self> {
        Self::parse_rest(path.strip_prefix(MODELS).or_else(|| path.strip_prefix(DEBUG_MODELS))?)
    }

    /// Whether a path is one of models and has no model's name in the place for it.
    pub(crate) fn names_no_model(path: &'a str) -> bool {
        (path.starts_with(MODELS) || path.starts_with(DEBUG_MODELS)) && Self::parse_any(path).is_none()
    }

    fn parse_rest(rest: &'a str) -> Option<Self> {
        let (model, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let model = decode_name(model)?;
        let Some(versioned) = rest.strip_prefix("versions/") else {
            return Some(Self { model, version: None, action: rest });
        };
        let (version, action) = versioned.split_once('/').unwrap_or((versioned, ""));
        let is_number = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then_some(Self { model, version: Some(version), action })
    }

    /// The model of an inference request; `None` for everything else.
    pub(crate) fn of_infer(method: &Method, path: &'a str) -> Option<Self> {
        if method != Method::POST || !path.ends_with("/infer") {
            return None;
        }
        Self::parse(path).filter(|path| path.action == "infer")
    }

    /// The version as a number.
    ///
    /// # Errors
    /// It is too large to be one.
    pub(crate) fn version(&self) -> Result<Option<u64>, InferError> {
        let Some(digits) = self.version else { return Ok(None) };
        // Triton reads a signed 64-bit number.
        match digits.parse::<i64>() {
            Ok(version) => Ok(u64::try_from(version).ok()),
            Err(_) => Err(InferError::invalid_argument(format!(
                "failed to get model version from specified version string '{digits}' (details: stol), version should be \
                 an integral value > 0"
            ))),
        }
    }
}

/// A path segment as a name; `None` when it is empty, is not UTF-8, or contains a slash once decoded.
pub(crate) fn decode_name(segment: &str) -> Option<Cow<'_, str>> {
    let name = percent_decode_str(segment).decode_utf8().ok()?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

// === impl ModelTarget ===

impl<S: Sync> FromRequestParts<S> for ModelTarget {
    type Rejection = axum::response::Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        use axum::response::IntoResponse;
        let not_found = || error_response(StatusCode::NOT_FOUND, "Not Found").map(axum::body::Body::new);
        let path = ModelPath::parse_any(parts.uri.path()).ok_or_else(not_found)?;
        match path.version() {
            Ok(version) => Ok(Self { model: path.model.into_owned(), version }),
            Err(error) => Err(crate::error::Refusal::from(error).into_response()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, expected: Option<(&str, Option<&str>, &str)>) {
        let found = ModelPath::parse(path);
        let found = found.as_ref().map(|path| (&*path.model, path.version, path.action));
        assert_eq!(found, expected, "{path}");
    }

    #[test]
    fn a_path_names_model_version_and_action() {
        check("/v2/models/m", Some(("m", None, "")));
        check("/v2/models/m/infer", Some(("m", None, "infer")));
        check("/v2/models/m/versions/12/infer", Some(("m", Some("12"), "infer")));
        check("/v2/models/a%20b%25/config", Some(("a b%", None, "config")));
        check("/v2/models/m/versions/1", Some(("m", Some("1"), "")));
    }

    #[test]
    fn names_with_slashes_and_versions_that_are_no_numbers_match_nothing() {
        check("/v2/models/a%2Fb/infer", None);
        check("/v2/models//infer", None);
        check("/v2/models/m/versions/x/infer", None);
        check("/v2/models/m/versions/-1/infer", None);
        check("/v2/models/%ff/infer", None);
        check("/v2/health/live", None);
    }

    #[test]
    fn paths_of_debugging_name_models_and_ask_for_no_inference() {
        let path = ModelPath::parse_any("/v2/debug/models/m/versions/2/infer").unwrap();
        assert_eq!((&*path.model, path.version, path.action), ("m", Some("2"), "infer"));
        check("/v2/debug/models/m/infer", None);
        assert!(ModelPath::of_infer(&Method::POST, "/v2/debug/models/m/infer").is_none());
        assert!(ModelPath::names_no_model("/v2/debug/models/a%2Fb/decisions"));
        assert!(!ModelPath::names_no_model("/v2/debug/models/m/decisions"));
    }

    #[test]
    fn a_version_beyond_64_bits_is_an_error_that_shows_it() {
        let path = ModelPath::parse("/v2/models/m/versions/99999999999999999999/infer").unwrap();
        let error = path.version().unwrap_err();
        assert!(error.message().contains("version string '99999999999999999999'"), "{error}");
    }
}
