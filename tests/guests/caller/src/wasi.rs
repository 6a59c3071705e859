//! The same through `wasi:http/outgoing-handler`, as a library would do it that was written for any WASI host.

use nereid_sdk::Error;
use wasip2::http::{
    outgoing_handler::handle,
    types::{Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme},
};
use wasip2::io::streams::StreamError;

/// Status and body of the answer. What WASI has no words for is its code.
pub(crate) fn send(url: &str, body: &[u8]) -> Result<(u16, Vec<u8>), Error> {
    let failed = |what: &str| Error::internal(what);
    let (scheme, rest) = url.split_once("://").ok_or_else(|| failed("no scheme"))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let request = OutgoingRequest::new(Fields::new());
    let scheme = if scheme == "http" { Scheme::Http } else { Scheme::Https };
    request.set_method(if body.is_empty() { &Method::Get } else { &Method::Post }).map_err(|()| failed("method"))?;
    request.set_scheme(Some(&scheme)).map_err(|()| failed("scheme"))?;
    request.set_authority(Some(authority)).map_err(|()| failed("authority"))?;
    request.set_path_with_query(Some(&format!("/{path}"))).map_err(|()| failed("path"))?;
    let sent = request.body().map_err(|()| failed("the body was taken"))?;
    let response = handle(request, None).map_err(|code| Error::unavailable(format!("wasi: {code:?}")))?;
    let written = write(&sent, body);
    OutgoingBody::finish(sent, None).map_err(|code| Error::unavailable(format!("wasi: {code:?}")))?;
    response.subscribe().block();
    let answered = response.get().ok_or_else(|| failed("no answer after waiting"))?;
    let answered = answered.map_err(|()| failed("the answer was taken"))?;
    let answered = answered.map_err(|code| Error::unavailable(format!("wasi: {code:?}")))?;
    written?;
    read(&answered).map(|body| (answered.status(), body))
}

fn write(sent: &OutgoingBody, body: &[u8]) -> Result<(), Error> {
    let stream = sent.write().map_err(|()| Error::internal("the body was taken"))?;
    for piece in body.chunks(4096) {
        stream.blocking_write_and_flush(piece).map_err(|error| Error::internal(format!("wasi: {error:?}")))?;
    }
    Ok(())
}

fn read(answered: &IncomingResponse) -> Result<Vec<u8>, Error> {
    let body = answered.consume().map_err(|()| Error::internal("the answer was taken"))?;
    let stream = body.stream().map_err(|()| Error::internal("the answer was taken"))?;
    let mut read = Vec::new();
    loop {
        match stream.blocking_read(1 << 16) {
            Ok(piece) => read.extend(piece),
            Err(StreamError::Closed) => return Ok(read),
            Err(error) => return Err(Error::unavailable(format!("wasi: {error:?}"))),
        }
    }
}
