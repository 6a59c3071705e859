//! Calls the server that the input names, and says what came back.
//!
//! `URL` and `BODY` are texts. The request's parameter `through` is `contract` or `wasi`, `times` sends the same so often at one time
//! (through the contract), `timeout_ms` is the guest's own patience, `header` is sent as `NAME: VALUE`. An empty body is a `GET`.

mod wasi;

use std::time::Duration;

use nereid_sdk::{Error, Inputs, Request, Response, Tensor, Transform, export_transform, http};

struct Caller;

impl Transform for Caller {
    fn new() -> Result<Self, Error> {
        Ok(Self)
    }

    fn run(&mut self, request: &Request, inputs: Inputs) -> Result<Response, Error> {
        let text = |name: &str| Ok::<_, Error>(inputs.tensor(name)?.texts()?.into_iter().next().unwrap_or_default());
        let (url, body) = (text("URL")?, text("BODY")?.into_bytes());
        let is_wasi = request.parameter("through").is_some_and(|through| through.as_text() == Some("wasi"));
        let (status, answer) = match is_wasi {
            true => wasi::send(&url, &body)?,
            false => through_contract(request, &url, body)?,
        };
        let status = Tensor::from_elements(&[1], &[i32::from(status)])?;
        Ok(Response::new().output("STATUS", status).output("ANSWER", Tensor::from_blobs(&[1], &[answer])?))
    }
}

fn through_contract(request: &Request, url: &str, body: Vec<u8>) -> Result<(u16, Vec<u8>), Error> {
    let number = |name: &str| request.parameter(name).and_then(|value| value.as_i64());
    let mut asked = http::Request::new(if body.is_empty() { "GET" } else { "POST" }, url).body(body);
    if let Some(ms) = number("timeout_ms") {
        asked = asked.timeout(Duration::from_millis(ms.unsigned_abs()));
    }
    if let Some((name, value)) = request.parameter("header").as_ref().and_then(|line| line.as_text()?.split_once(": "))
    {
        asked = asked.header(name, value);
    }
    let times = number("times").unwrap_or(1) as usize;
    let answers: Result<Vec<http::Answer>, Error> = http::send_all(vec![asked; times]).into_iter().collect();
    let last = answers?.pop().ok_or_else(|| Error::internal("nothing was sent"))?;
    Ok((last.status, last.body))
}

export_transform!(Caller);
