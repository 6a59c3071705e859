//! Cases as their authors write them, right and wrong.

use nereid_inference::TensorSpec;
use nereid_tensor::DataType;

use super::*;

fn signature() -> Signature {
    let spec = |name: &str, data_type| TensorSpec { name: name.into(), data_type, dims: vec![-1], optional: false };
    let inputs = vec![spec("X", DataType::Fp32), spec("IMAGE", DataType::Bytes)];
    Signature { model_name: "m".into(), inputs, outputs: vec![spec("Y", DataType::Fp32)], max_batch_size: 0 }
}

fn read(text: &str) -> Result<Case, String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("cat.png"), "pixels").unwrap();
    let path = folder.path().join("purrs.json");
    fs::write(&path, text).unwrap();
    read_case(&path, &signature()).map_err(|error| error.to_string())
}

#[track_caller]
fn check_refused(text: &str, problem: &str) {
    let error = read(text).unwrap_err();
    let (_, found) = error.split_once("purrs.json: ").unwrap();
    assert_eq!(found, problem);
}

const REQUEST: &str = r#""request": {"inputs": [{"name": "X", "datatype": "FP32", "shape": [2], "data": [1, 2]}]}"#;

#[test]
fn a_case_has_a_request_a_response_and_the_answers_of_other_models() {
    let text = format!(
        r#"{{{REQUEST}, "files": {{"IMAGE": "cat.png"}}, "tolerance": 0.5,
        "response": {{"model_name": "m", "outputs": [{{"name": "Y", "datatype": "FP32", "shape": [1], "data": [3]}}],
                      "parameters": {{"n": 1}}}},
        "models": {{"other": [{{"outputs": []}}, {{"error": "away"}}], "stream": {{"responses": [{{}}, {{}}]}}}}}}"#
    );
    let case = read(&text).unwrap();
    assert_eq!((case.name.as_str(), case.tolerance), ("purrs", 0.5));
    let [Step { request, expected: Expected::Responses(responses) }] = case.steps.as_slice() else {
        panic!("{case:?}")
    };
    let names: Vec<&str> = request.inputs.iter().map(|input| &*input.name).collect();
    assert_eq!(names, ["X", "IMAGE"]);
    assert_eq!(request.inputs[1].tensor.byte_strings().next(), Some(b"pixels".as_slice()));
    assert_eq!(responses[0].output("Y").unwrap().elements::<f32>().unwrap().as_ref(), [3.0]);
    assert_eq!(responses[0].parameters.len(), 1);
    assert!(matches!(&case.models["other"], StandIn::InTurn(replies) if replies[0].is_ok() && replies[1].is_err()));
    assert!(matches!(&case.models["stream"], StandIn::Always(Ok(responses)) if responses.len() == 2));
}

#[test]
fn a_case_may_list_the_models_that_the_plugin_controls() {
    let case = read(&format!(r#"{{{REQUEST}, "control": {{"a": "READY", "b": {{"error": "no room"}}}}}}"#)).unwrap();
    let expected = [
        ("a".to_owned(), Controlled::State(ModelState::Ready)),
        ("b".to_owned(), Controlled::Fails("no room".to_owned())),
    ];
    assert_eq!(case.control, Some(expected.into()));
    assert_eq!(read(&format!("{{{REQUEST}}}")).unwrap().control, None);
    check_refused(
        &format!(r#"{{{REQUEST}, "control": {{"a": "ready"}}}}"#),
        "control['a']: 'ready' is no state: expected READY, UNAVAILABLE, LOADING or UNLOADING",
    );
}

#[test]
fn a_case_may_have_several_steps() {
    let case =
        read(&format!(r#"{{"steps": [{{{REQUEST}}}, {{{REQUEST}, "error": "no"}}, {{{REQUEST}, "responses": []}}]}}"#));
    let expected: Vec<String> = case.unwrap().steps.iter().map(|step| format!("{:?}", step.expected)).collect();
    assert_eq!(expected, ["Success", "Error(\"no\")", "Responses([])"]);
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    check_refused("{", "EOF while parsing an object at line 1 column 1");
    check_refused("{}", "has no request: expected {\"inputs\": […]}, or inputs in 'files'");
    check_refused(r#"{"steps": []}"#, "has no steps: expected at least one");
    check_refused(
        &format!(r#"{{"steps": [{{{REQUEST}}}], "error": "x"}}"#),
        "has steps, and a request, files or an expectation beside them: expected one or the other",
    );
    check_refused(
        &format!(r#"{{"steps": [{{{REQUEST}}}, {{{REQUEST}, "error": "x", "response": {{}}}}]}}"#),
        "steps[1]: expects several things: give one of 'response', 'responses' and 'error'",
    );
    check_refused(&format!(r#"{{{REQUEST}, "tolerance": -1}}"#), "the tolerance is -1: expected a number of 0 or more");
    check_refused(
        &format!(r#"{{{REQUEST}, "models": {{"a": [{{}}]}}}}"#),
        "models['a']: [0]: expected one of 'outputs', 'responses' and 'error'",
    );
    let error = read(&format!(r#"{{{REQUEST}, "respone": {{}}}}"#)).unwrap_err();
    assert!(error.contains("unknown field `respone`, expected one of `request`"), "{error}");
    let error = read(r#"{"request": {"inputs": [{"name": "X", "datatype": "FP23", "shape": [1], "data": [1]}]}}"#);
    assert!(error.unwrap_err().contains("request: invalid datatype for input X"));
    let error = read(r#"{"files": {"IMAGE": "dog.png"}}"#).unwrap_err();
    assert!(error.contains("dog.png cannot be read: "), "{error}");
}

#[test]
fn a_folder_without_cases_says_where_they_belong() {
    let folder = tempfile::tempdir().unwrap();
    let error = cases_of(folder.path()).unwrap_err().to_string();
    assert!(error.starts_with("there are no cases: put one into ") && error.contains("/tests, "), "{error}");
    fs::create_dir(folder.path().join("tests")).unwrap();
    for name in ["b.json", "a.json", "notes.md"] {
        fs::write(folder.path().join("tests").join(name), "").unwrap();
    }
    let names: Vec<_> =
        cases_of(folder.path()).unwrap().iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["a.json", "b.json"]);
}
