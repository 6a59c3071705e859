//! `http`: whole requests and whole answers, for languages whose way to `wasi:http` is long.
//!
//! What is granted, limited and counted is the same. Refusals are told in words here, and are not in the log.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderName, HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full};
use nereid_inference::InferError;
use tokio::time::timeout_at;
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

use super::{Outbound, Refusal, Times, body, exchange};
use crate::{
    bindings::nereid::plugin::{
        http::{Header, Host, Request as Asked, Response as Answer},
        types::Error,
    },
    convert,
    state::PluginState,
};

/// Requests that are sent at one time by one call of `send-all`, and lines of a head.
const REQUESTS_MAX: usize = 64;
const HEADERS_MAX: usize = 100;

/// What the host writes itself, or must not be written by a guest: the connection is the host's.
const OWN_HEADERS: [HeaderName; 7] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
];

impl Host for PluginState {
    async fn send(&mut self, request: Asked) -> wasmtime::Result<Result<Answer, Error>> {
        self.enter("http.send")?;
        let mut answers = self.send_requests(vec![request]).await?;
        Ok(answers.pop().unwrap_or_else(|| Err(convert::error(InferError::internal("a request without an answer")))))
    }

    async fn send_all(&mut self, requests: Vec<Asked>) -> wasmtime::Result<Vec<Result<Answer, Error>>> {
        self.enter("http.send-all")?;
        if requests.len() > REQUESTS_MAX {
            let text = format!("{} requests at one time, {REQUESTS_MAX} are the most of send-all", requests.len());
            let error = convert::error(InferError::resource_exhausted(text));
            return Ok(requests.iter().map(|_| Err(error.clone())).collect());
        }
        self.send_requests(requests).await
    }
}

// === impl PluginState ===

impl PluginState {
    async fn send_requests(&mut self, requests: Vec<Asked>) -> wasmtime::Result<Vec<Result<Answer, Error>>> {
        // Tells the call under way to what sends; the same that `wasi:http` does.
        let mut outbound = Outbound::new(&self.spec, &self.log);
        outbound.call = self.outbound_call();
        let answers = self.within_deadline(join_all(requests.into_iter().map(|asked| outbound.answer(asked)))).await?;
        for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            self.note_refusal(error);
        }
        Ok(answers.into_iter().map(|answer| answer.map_err(convert::error)).collect())
    }
}

// === impl Outbound ===

impl Outbound {
    async fn answer(&self, asked: Asked) -> Result<Answer, InferError> {
        let whole = asked.timeout_ms.map_or(Duration::MAX, |ms| Duration::from_millis(ms.into()));
        let url = asked.url.clone();
        let request = request(asked)?;
        let admitted = self.admit(request.uri()).map_err(Refusal::into_error)?;
        let limits = &self.spec.limits;
        let times = Times::of(limits, limits.http_connect_max, whole, admitted.call.deadline);
        let exchanged = async {
            let response = exchange(request, admitted, (limits, self.grant()), &times).await?;
            let (head, body) = response.into_parts();
            Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
        };
        let answered = timeout_at(times.until.into(), exchanged).await.unwrap_or(Err(HttpError::HttpResponseTimeout));
        answered.map(to_answer).map_err(|error| failed(&url, &error))
    }
}

// === impl Refusal ===

impl Refusal {
    fn into_error(self) -> InferError {
        match self.error {
            HttpError::ConnectionLimitReached => InferError::resource_exhausted(self.why),
            _ => InferError::permission(self.why),
        }
    }
}

fn request(asked: Asked) -> Result<Request<WasiBody>, InferError> {
    let wrong = |what: String| InferError::invalid_argument(format!("an HTTP request cannot be sent: {what}"));
    let method = Method::from_bytes(asked.method.as_bytes());
    let method = method.map_err(|_| wrong(format!("'{}' is no method", asked.method.escape_debug())))?;
    if method == Method::CONNECT {
        return Err(wrong("CONNECT makes a tunnel, which plugins have not".to_owned()));
    }
    let uri: Uri =
        asked.url.parse().map_err(|error| wrong(format!("'{}' is no URL: {error}", asked.url.escape_debug())))?;
    let authority = uri.authority().ok_or_else(|| wrong(format!("'{uri}' names no host: write https://host/path")))?;
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| wrong(format!("'{authority}' is no host")))?;
    if asked.headers.len() > HEADERS_MAX {
        return Err(wrong(format!("{} headers, {HEADERS_MAX} are the most", asked.headers.len())));
    }
    let body = Full::new(Bytes::from(asked.body)).map_err(|never| match never {}).boxed_unsync();
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    request.headers_mut().insert(header::HOST, host);
    for Header { name, value } in asked.headers {
        let parsed = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_bytes(&value).ok());
        let (name, value) = parsed.ok_or_else(|| wrong(format!("the header '{}' is none", name.escape_debug())))?;
        if OWN_HEADERS.contains(&name) {
            return Err(wrong(format!("the header '{name}' is the host's to write")));
        }
        request.headers_mut().append(name, value);
    }
    Ok(request)
}

fn to_answer(response: Response<Bytes>) -> Answer {
    let headers = response.headers().iter();
    let headers = headers.map(|(name, value)| Header { name: name.to_string(), value: value.as_bytes().to_vec() });
    Answer { status: response.status().as_u16(), headers: headers.collect(), body: response.body().to_vec() }
}

/// Whose fault it was, as far as it is known.
fn failed(url: &str, error: &HttpError) -> InferError {
    let error = match error {
        HttpError::Hyper(failure) => body::limit_behind(failure).unwrap_or(error),
        _ => error,
    };
    let text = format!("the request to '{url}' failed: {error}");
    match error {
        HttpError::ConnectionTimeout | HttpError::HttpResponseTimeout => InferError::deadline_exceeded(text),
        HttpError::DestinationIpProhibited => InferError::permission(format!(
            "{text}: its name stands for addresses of private networks or of this machine alone; list it under http_private in \
             [grants] of plugin.toml if that is meant"
        )),
        HttpError::HttpRequestBodySize(_) => InferError::resource_exhausted(format!("{text} (http_request_mib)")),
        HttpError::HttpResponseBodySize(_) => InferError::resource_exhausted(format!("{text} (http_response_mib)")),
        _ => InferError::unavailable(text),
    }
}
