//! What the plugin reaches beyond its tensors, each in words that every language says alike.

use std::time::Duration;

use nereid_sdk::{
    Error, ErrorCode, Request, Value, control, files, http,
    metrics::{Counter, Gauge, Histogram},
    secret, setting, state, trace,
};

pub(crate) fn state() -> Result<[String; 12], Error> {
    let first = state::set("a", b"one", None)?;
    let entry = state::get("a")?.ok_or_else(|| Error::internal("nothing was kept"))?;
    let swapped = state::swap("a", b"two", Some(first), None)?;
    let late = state::swap("a", b"three", Some(first), None)?;
    let sums = [state::add("n", 2)?, state::add("n", -5)?];
    let keys = state::keys("", 10)?;
    let now = state::get("a")?.map(|entry| entry.value).unwrap_or_default();
    let deleted = [state::delete("a")?, state::delete("a")?];
    let fresh = state::swap("b", b"x", None, Some(Duration::from_secs(60)))?;
    Ok([
        text(&entry.value),
        (entry.version == first).to_string(),
        swapped.is_some().to_string(),
        late.is_some().to_string(),
        text(&now),
        sums[0].to_string(),
        sums[1].to_string(),
        keys.join(","),
        deleted[0].to_string(),
        deleted[1].to_string(),
        state::get("a")?.is_none().to_string(),
        fresh.is_some().to_string(),
    ])
}

pub(crate) fn metrics() -> Result<[String; 3], Error> {
    let counter = Counter::open("contract_things_total", "Things", &[("kind", "x")])?;
    let gauge = Gauge::open("contract_level", "Level", &[])?;
    let sizes = Histogram::open("contract_sizes", "Sizes", &[], &[1.0, 2.0])?;
    counter.add(2.0)?;
    gauge.set(3.0);
    gauge.add(-1.0);
    sizes.observe(1.5);
    Ok([counter.value().to_string(), gauge.value().to_string(), refused(counter.add(-1.0))])
}

pub(crate) fn files() -> Result<[String; 5], Error> {
    files::write("/scratch/a.txt", b"hello")?;
    let (whole, part) = (files::read("/scratch/a.txt")?, files::read_range("/scratch/a.txt", 1, 3)?);
    let listed: Vec<String> = files::list_folder("/scratch")?
        .iter()
        .map(|entry| format!("{}:{}:{}", entry.name, entry.size, entry.is_folder))
        .collect();
    files::remove("/scratch/a.txt")?;
    let gone = refused(files::read("/scratch/a.txt"));
    Ok([text(&whole), text(&part), listed.join(" "), gone, refused(files::read("/elsewhere/a.txt"))])
}

pub(crate) fn secrets() -> Result<[String; 2], Error> {
    Ok([text(&secret("token")?), refused(secret("other"))])
}

pub(crate) fn http() -> Result<[String; 6], Error> {
    let server = setting("server").unwrap_or_default();
    let echo = http::Request::post(format!("{server}/echo")).header("x-word", "hi").body("ping");
    let mut answers = http::send_all([echo, http::Request::get(format!("{server}/missing"))]).into_iter();
    let mut next = || answers.next().unwrap_or_else(|| Err(Error::internal("an answer is missing")));
    let (echoed, missing) = (next()?, next()?);
    let header = |name| text(echoed.header(name).unwrap_or_default());
    Ok([
        echoed.status.to_string(),
        header("x-method"),
        header("x-word"),
        text(&echoed.body),
        missing.status.to_string(),
        refused(http::Request::get("http://127.0.0.1:1/").send()),
    ])
}

pub(crate) fn control() -> Result<[String; 2], Error> {
    let entries: Vec<String> = control::index()?
        .iter()
        .map(|entry| {
            let is_ready = entry.state == Some(control::ModelState::Ready);
            let state = if is_ready { "ready" } else { "not ready" };
            format!("{}:{}:{state}", entry.name, entry.version.unwrap_or_default())
        })
        .collect();
    control::load("other", None)?;
    control::unload("other", false)?;
    Ok([entries.join(" "), refused(control::load("denied", None))])
}

pub(crate) fn spans(request: &Request) -> String {
    let outer = trace::span("outer").with("number", 3_i64).with("word", "x").with("sure", true);
    outer.event("half", &[("rows", Value::Int(2))]);
    drop(outer.child("inner").with("share", 0.5));
    let recorded = outer.is_recorded();
    drop(outer);
    drop(request.span("of-request"));
    // The host ends it, because nobody does.
    std::mem::forget(trace::span("open"));
    recorded.to_string()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The kind of error that it is.
pub(crate) fn refused<T>(result: Result<T, Error>) -> String {
    let Err(error) = result else { return "allowed".to_owned() };
    let kind = match error.code() {
        ErrorCode::InvalidArgument => "invalid-argument",
        ErrorCode::NotFound => "not-found",
        ErrorCode::Permission => "permission",
        _ => "another",
    };
    kind.to_owned()
}
