//! The files that cases stand in: JSON, with requests and responses as KServe's HTTP protocol writes them.
//!
//! ```json
//! {
//!   "request": {"inputs": [{"name": "X", "datatype": "FP32", "shape": [2], "data": [1, 2]}]},
//!   "files": {"IMAGE": "cat.png"},
//!   "response": {"outputs": [{"name": "Y", "datatype": "FP32", "shape": [2], "data": [2, 4]}]},
//!   "models": {"classifier": {"outputs": [{"name": "P", "datatype": "FP32", "shape": [1], "data": [0.5]}]}},
//!   "control": {"digits": "READY", "big": "UNAVAILABLE", "broken": {"error": "no room"}},
//!   "tolerance": 1e-4
//! }
//! ```
//!
//! In place of `response` there may be `responses`, a list, or `error`, a part of the text. In place of all three with their
//! request there may be `steps`, a list of such objects, for what several requests do one after the other. `files` gives
//! inputs that are read as 'nereid infer -i NAME=@FILE' reads them; paths are relative to the case's own file.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use nereid_client::{InputArgument, inputs_of};
use nereid_inference::{ErrorKind, InferError, InferRequest, InferResponse, ModelState, NoRegions, Signature};
use nereid_protocol::http::{InferBody, RequestContext, decode_infer_request};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    case::{Case, Controlled, Expected, Reply, StandIn, Step, TOLERANCE},
    error::RehearsalError,
};

/// Largest file of a case; what is larger belongs into `files`.
pub const CASE_BYTES_MAX: u64 = 64 << 20;

/// Largest tensor that a case writes as JSON.
const TENSOR_BYTES_MAX: usize = 256 << 20;

/// Where a plugin's folder keeps its cases.
const CASES_FOLDER: &str = "tests";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseText<'a> {
    #[serde(borrow)]
    request: Option<&'a RawValue>,
    #[serde(default)]
    files: BTreeMap<String, PathBuf>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    #[serde(borrow)]
    responses: Option<Vec<&'a RawValue>>,
    error: Option<String>,
    #[serde(borrow)]
    steps: Option<Vec<StepText<'a>>>,
    #[serde(borrow, default)]
    models: BTreeMap<String, &'a RawValue>,
    control: Option<BTreeMap<String, ControlledText>>,
    tolerance: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ControlledText {
    State(String),
    Fails { error: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepText<'a> {
    #[serde(borrow)]
    request: Option<&'a RawValue>,
    #[serde(default)]
    files: BTreeMap<String, PathBuf>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    #[serde(borrow)]
    responses: Option<Vec<&'a RawValue>>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplyText<'a> {
    #[serde(borrow)]
    outputs: Option<&'a RawValue>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
    #[serde(borrow)]
    responses: Option<Vec<&'a RawValue>>,
    error: Option<String>,
}

/// A response as a server sends it; what says who answered is not compared.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResponseText<'a> {
    #[serde(borrow)]
    outputs: Option<&'a RawValue>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
    #[serde(rename = "model_name")]
    _model_name: Option<String>,
    #[serde(rename = "model_version")]
    _model_version: Option<String>,
    #[serde(rename = "id")]
    _id: Option<String>,
}

/// Reads requests for one model, from a file in this folder.
struct Reader<'a> {
    signature: &'a Signature,
    folder: &'a Path,
}

/// The files of a plugin's cases, by name: every `.json` in its folder `tests`.
///
/// # Errors
/// The folder cannot be read, or there are none.
pub fn cases_of(folder: &Path) -> Result<Vec<PathBuf>, RehearsalError> {
    let cases = folder.join(CASES_FOLDER);
    let absent = || RehearsalError::NoCases { folder: cases.clone() };
    if !cases.is_dir() {
        return Err(absent());
    }
    let entries = fs::read_dir(&cases).map_err(|source| RehearsalError::Read { path: cases.clone(), source })?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    paths.sort();
    if paths.is_empty() { Err(absent()) } else { Ok(paths) }
}

/// The case in a file, for a model of that signature.
///
/// # Errors
/// It cannot be read, or is no case; the text says where.
pub fn read_case(path: &Path, signature: &Signature) -> Result<Case, RehearsalError> {
    let unreadable = |source| RehearsalError::Read { path: path.to_owned(), source };
    let wrong = |problem| RehearsalError::Case { path: path.to_owned(), problem };
    let length = fs::metadata(path).map_err(unreadable)?.len();
    if length > CASE_BYTES_MAX {
        return Err(wrong(format!("{length} bytes are more than the {CASE_BYTES_MAX} that a case may have")));
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let reader = Reader { signature, folder: path.parent().unwrap_or(Path::new(".")) };
    reader.case(name, &text).map_err(wrong)
}

// === impl Reader ===

impl Reader<'_> {
    fn case(&self, name: String, text: &str) -> Result<Case, String> {
        let case: CaseText<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let CaseText { request, files, response, responses, error, steps, models, control, tolerance } = case;
        let only = StepText { request, files, response, responses, error };
        let steps = match steps {
            None => vec![self.step(only)?],
            Some(_) if !only.is_empty() => {
                return Err("has steps, and a request, files or an expectation beside them: expected one or the other"
                    .to_owned());
            }
            Some(steps) if steps.is_empty() => return Err("has no steps: expected at least one".to_owned()),
            Some(steps) => {
                let read = |(index, step)| self.step(step).map_err(|problem| format!("steps[{index}]: {problem}"));
                steps.into_iter().enumerate().map(read).collect::<Result<_, _>>()?
            }
        };
        let model = |(name, text): (String, &RawValue)| match stand_in(text) {
            Ok(stand_in) => Ok((name, stand_in)),
            Err(problem) => Err(format!("models['{name}']: {problem}")),
        };
        let models = models.into_iter().map(model).collect::<Result<_, _>>()?;
        let control = control.map(|models| models.into_iter().map(controlled).collect()).transpose()?;
        let tolerance = tolerance.unwrap_or(TOLERANCE);
        if !(tolerance.is_finite() && tolerance >= 0.0) {
            return Err(format!("the tolerance is {tolerance}: expected a number of 0 or more"));
        }
        Ok(Case { name, steps, models, control, tolerance })
    }

    fn step(&self, step: StepText<'_>) -> Result<Step, String> {
        let StepText { request, files, response, responses, error } = step;
        if request.is_none() && files.is_empty() {
            return Err("has no request: expected {\"inputs\": […]}, or inputs in 'files'".to_owned());
        }
        let request = self.request(request, files)?;
        let expected = match (response, responses, error) {
            (None, None, None) => Expected::Success,
            (Some(response), None, None) => Expected::Responses(vec![read_response(response)?]),
            (None, Some(responses), None) => {
                Expected::Responses(responses.into_iter().map(read_response).collect::<Result<_, _>>()?)
            }
            (None, None, Some(text)) => Expected::Error(text),
            _ => return Err("expects several things: give one of 'response', 'responses' and 'error'".to_owned()),
        };
        Ok(Step { request, expected })
    }

    fn request(&self, text: Option<&RawValue>, files: BTreeMap<String, PathBuf>) -> Result<InferRequest, String> {
        let text = text.map_or(r#"{"inputs":[]}"#, RawValue::get);
        let mut request = decode(text, self.signature).map_err(|problem| format!("request: {problem}"))?;
        let argument = |(name, path): (String, PathBuf)| InputArgument::of_file(name, self.folder.join(path));
        let arguments: Vec<InputArgument> = files.into_iter().map(argument).collect();
        request.inputs.extend(inputs_of(self.signature, &arguments).map_err(|error| error.to_string())?);
        Ok(request)
    }
}

// === impl StepText ===

impl StepText<'_> {
    fn is_empty(&self) -> bool {
        let Self { request, files, response, responses, error } = self;
        request.is_none() && files.is_empty() && response.is_none() && responses.is_none() && error.is_none()
    }
}

fn controlled((name, text): (String, ControlledText)) -> Result<(String, Controlled), String> {
    let model = match text {
        ControlledText::Fails { error } => Controlled::Fails(error),
        ControlledText::State(state) => {
            let known = [ModelState::Ready, ModelState::Unavailable, ModelState::Loading, ModelState::Unloading];
            let found = known.into_iter().find(|known| known.name() == state);
            Controlled::State(found.ok_or_else(|| {
                format!("control['{name}']: '{state}' is no state: expected READY, UNAVAILABLE, LOADING or UNLOADING")
            })?)
        }
    };
    Ok((name, model))
}

fn stand_in(text: &RawValue) -> Result<StandIn, String> {
    if !text.get().starts_with('[') {
        return reply(text).map(StandIn::Always);
    }
    let replies: Vec<&RawValue> = serde_json::from_str(text.get()).map_err(|error| error.to_string())?;
    let read = |(index, text)| reply(text).map_err(|problem| format!("[{index}]: {problem}"));
    replies.into_iter().enumerate().map(read).collect::<Result<_, _>>().map(StandIn::InTurn)
}

fn reply(text: &RawValue) -> Result<Reply, String> {
    let reply: ReplyText<'_> = serde_json::from_str(text.get()).map_err(|error| error.to_string())?;
    match reply {
        ReplyText { outputs, parameters, responses: None, error: None }
            if outputs.is_some() || parameters.is_some() =>
        {
            Ok(Ok(vec![response(outputs, parameters)?]))
        }
        ReplyText { outputs: None, parameters: None, responses: Some(responses), error: None } => {
            responses.into_iter().map(read_response).collect::<Result<_, _>>().map(Ok)
        }
        ReplyText { outputs: None, parameters: None, responses: None, error: Some(text) } => {
            Ok(Err(InferError::new(ErrorKind::Unavailable, text)))
        }
        _ => Err("expected one of 'outputs', 'responses' and 'error'".to_owned()),
    }
}

fn read_response(text: &RawValue) -> Result<InferResponse, String> {
    let text: ResponseText<'_> = serde_json::from_str(text.get()).map_err(|error| format!("response: {error}"))?;
    response(text.outputs, text.parameters).map_err(|problem| format!("response: {problem}"))
}

/// Outputs are written as inputs are, and so are parameters.
fn response(outputs: Option<&RawValue>, parameters: Option<&RawValue>) -> Result<InferResponse, String> {
    let outputs = outputs.map_or("[]", RawValue::get);
    let parameters = parameters.map_or("{}", RawValue::get);
    let nameless = Signature { model_name: "response".into(), inputs: vec![], outputs: vec![], max_batch_size: 0 };
    let request = decode(&format!("{{\"inputs\":{outputs},\"parameters\":{parameters}}}"), &nameless)?;
    Ok(InferResponse { outputs: request.inputs, parameters: request.parameters })
}

fn decode(text: &str, signature: &Signature) -> Result<InferRequest, String> {
    let body = InferBody { bytes: text.as_bytes().to_vec().into(), json_bytes: None };
    let context =
        RequestContext { signature, received: Instant::now(), input_bytes_max: TENSOR_BYTES_MAX, regions: &NoRegions };
    let decoded = decode_infer_request(&body, &context).map_err(|error| error.message().to_owned())?;
    Ok(decoded.request)
}

#[cfg(test)]
mod tests;
