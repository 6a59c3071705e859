//! Reaches for what a request names: the parameter `what` says in which way, `name` for which thing. What it got is answered as
//! text in `REACHED`; what it was refused is the request's error.

use nereid_sdk::{
    Error, Inputs, Request, Response, Tensor, Transform, control, export_transform, files, model_ready, secret,
};

struct Reach;

impl Transform for Reach {
    fn new() -> Result<Self, Error> {
        Ok(Self)
    }

    fn run(&mut self, request: &Request, _inputs: Inputs) -> Result<Response, Error> {
        let text = |key: &str| request.parameter(key).and_then(|value| value.as_text().map(str::to_owned));
        let (what, name) = (text("what").unwrap_or_default(), text("name").unwrap_or_default());
        let reached = match what.as_str() {
            "tenant" => format!("{:?}", request.tenant()).into_bytes(),
            _ => reach(&what, &name)?,
        };
        Ok(Response::new().output("REACHED", Tensor::from_blobs(&[1], &[reached])?))
    }
}

fn reach(what: &str, name: &str) -> Result<Vec<u8>, Error> {
    match what {
        "read" => files::read(name),
        "middle" => files::read_range(name, 2, 3),
        "write" => files::write(name, b"written").map(|()| Vec::new()),
        "remove" => files::remove(name).map(|()| Vec::new()),
        "list" => Ok(listing(&files::list_folder(name)?)),
        "secret" => secret(name),
        "ready" => Ok(format!("{}", model_ready(name, None)).into_bytes()),
        "index" => Ok(index(&control::index()?)),
        "load" => control::load(name, None).map(|()| Vec::new()),
        "unload" => control::unload(name, false).map(|()| Vec::new()),
        other => Err(Error::invalid_argument(format!("there is no way '{other}' of reaching"))),
    }
}

fn listing(entries: &[files::Entry]) -> Vec<u8> {
    let lines: Vec<String> =
        entries.iter().map(|entry| format!("{} {} {}", entry.name, entry.size, entry.is_folder)).collect();
    lines.join("\n").into_bytes()
}

fn index(entries: &[control::ModelEntry]) -> Vec<u8> {
    let lines: Vec<String> = entries
        .iter()
        .map(|entry| format!("{} {:?}", entry.name, entry.state.map(|state| state == control::ModelState::Ready)))
        .collect();
    lines.join("\n").into_bytes()
}

export_transform!(Reach);
