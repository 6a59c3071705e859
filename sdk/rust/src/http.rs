//! Requests to the servers that `plugin.toml` lists under `[grants] http`.
//!
//! ```no_run
//! use nereid_sdk::{Error, http};
//!
//! fn score(text: &str, key: &str) -> Result<Vec<u8>, Error> {
//!     let request = http::Request::post("https://api.example.com/score").header("authorization", format!("Bearer {key}"));
//!     let answer = request.json(format!("{{\"text\": {text:?}}}")).send()?;
//!     if !answer.is_success() {
//!         return Err(Error::unavailable(format!("the scorer said {}", answer.status)));
//!     }
//!     Ok(answer.body)
//! }
//! ```
//!
//! Redirects are answers like any other: following one is another request. While a request is under way the plugin's computing time
//! stands. A plugin whose libraries speak `wasi:http` uses those: grants, limits and meters are the same.

use std::time::Duration;

use crate::{Error, bindings::nereid::plugin::http as host};

/// What is asked of a server.
#[derive(Clone, Debug)]
pub struct Request(host::Request);

/// What a server answers, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// 200, 404, …
    pub status: u16,
    /// Names in small letters.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// Sends several at the same time. Their answers, in the order of the requests.
pub fn send_all(requests: impl IntoIterator<Item = Request>) -> Vec<Result<Answer, Error>> {
    let requests: Vec<host::Request> = requests.into_iter().map(|request| request.0).collect();
    host::send_all(&requests).into_iter().map(|answer| Ok(Answer::from_host(answer?))).collect()
}

// === impl Request ===

impl Request {
    /// A request with any method.
    pub fn new(method: &str, url: impl Into<String>) -> Self {
        Self(host::Request {
            method: method.to_owned(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout_ms: None,
        })
    }

    /// `GET`.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// `POST`.
    pub fn post(url: impl Into<String>) -> Self {
        Self::new("POST", url)
    }

    /// One more line of the head. `host` and `content-length` are written by the host.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.0.headers.push(host::Header { name: name.to_owned(), value: value.into() });
        self
    }

    /// The body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.0.body = body.into();
        self
    }

    /// A body that is JSON.
    #[must_use]
    pub fn json(self, body: impl Into<Vec<u8>>) -> Self {
        self.header("content-type", "application/json").body(body)
    }

    /// How long to wait for the whole answer; the plugin's limit `http_timeout_ms` where that is shorter.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout_ms = Some(u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX));
        self
    }

    /// Sends it and waits for the answer.
    ///
    /// # Errors
    /// There was none: not granted, refused, larger than a limit, or too late.
    pub fn send(self) -> Result<Answer, Error> {
        Ok(Answer::from_host(host::send(&self.0)?))
    }
}

// === impl Answer ===

impl Answer {
    fn from_host(answer: host::Response) -> Self {
        let headers = answer.headers.into_iter().map(|header| (header.name, header.value)).collect();
        Self { status: answer.status, headers, body: answer.body }
    }

    /// Whether the status is 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The value of the first header of the name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
    }
}
