//! The repository index, and the parameters of loading and unloading.

use nereid_inference::{IndexEntry, InferError, LoadOverrides, ModelState};

use super::proto::{
    RepositoryIndexRequest, RepositoryIndexResponse, RepositoryModelLoadRequest, RepositoryModelUnloadRequest,
    model_repository_parameter::ParameterChoice, repository_index_response::ModelIndex,
};

/// What the name of a file parameter begins with.
const FILE_PREFIX: &str = "file:";

/// The rows that the request asks for.
///
/// # Errors
/// `Unsupported` when the request names one of the repositories.
pub fn encode_index(
    request: &RepositoryIndexRequest,
    entries: &[IndexEntry],
) -> Result<RepositoryIndexResponse, InferError> {
    refuse_repository_name(&request.repository_name)?;
    let wanted = entries.iter().filter(|entry| !request.ready || entry.state == Some(ModelState::Ready));
    Ok(RepositoryIndexResponse { models: wanted.map(row).collect() })
}

/// What a load brings along: a configuration as JSON text, and files.
///
/// # Errors
/// `Unsupported` for a repository name, `InvalidArgument` for a parameter that does not exist or has the wrong type.
pub fn decode_load_request(request: RepositoryModelLoadRequest) -> Result<(String, LoadOverrides), InferError> {
    refuse_repository_name(&request.repository_name)?;
    let mut overrides = LoadOverrides::default();
    for (name, parameter) in request.parameters {
        match (name.strip_prefix(FILE_PREFIX), parameter.parameter_choice) {
            (None, Some(ParameterChoice::StringParam(config))) if name == "config" => overrides.config = Some(config),
            (None, Some(ParameterChoice::BoolParam(overlay))) if name == "overlay" => overrides.overlay = overlay,
            (None, _) if name == "overlay" => return Err(wrong_load_type(&name, "bool_param")),
            (None, _) if name == "config" => return Err(wrong_load_type(&name, "string_param")),
            (None, _) => {
                return Err(InferError::invalid_argument(format!("unrecognized load parameter '{name}'.")));
            }
            (Some(path), Some(ParameterChoice::BytesParam(content))) => {
                overrides.files.insert(path.to_owned(), content);
            }
            (Some(_), _) => return Err(wrong_load_type(&name, "bytes_param")),
        }
    }
    Ok((request.model_name, overrides))
}

fn wrong_load_type(name: &str, expected: &str) -> InferError {
    InferError::invalid_argument(format!("invalid value type for load parameter '{name}', expected {expected}."))
}

/// Whether the models that only an unloaded ensemble used are to go with it.
///
/// # Errors
/// `Unsupported` for a repository name, `InvalidArgument` for a value that is not a boolean.
pub fn unload_dependents(request: &RepositoryModelUnloadRequest) -> Result<bool, InferError> {
    refuse_repository_name(&request.repository_name)?;
    match request.parameters.get("unload_dependents").map(|parameter| &parameter.parameter_choice) {
        None => Ok(false),
        Some(Some(ParameterChoice::BoolParam(dependents))) => Ok(*dependents),
        Some(_) => Err(InferError::invalid_argument(
            "invalid value type for 'unload_dependents' parameter, expected bool_param.",
        )),
    }
}

fn row(entry: &IndexEntry) -> ModelIndex {
    ModelIndex {
        name: entry.name.clone(),
        version: entry.version.map_or_else(String::new, |version| version.to_string()),
        state: entry.state.map_or_else(String::new, |state| state.name().to_owned()),
        reason: entry.reason.clone(),
    }
}

fn refuse_repository_name(repository_name: &str) -> Result<(), InferError> {
    if repository_name.is_empty() {
        return Ok(());
    }
    Err(InferError::unsupported("'repository_name' specification is not supported"))
}

#[cfg(test)]
mod tests {
    use nereid_inference::ErrorKind;

    use super::*;
    use crate::grpc::proto::ModelRepositoryParameter;

    fn parameters<const N: usize>(
        entries: [(&str, ParameterChoice); N],
    ) -> std::collections::BTreeMap<String, ModelRepositoryParameter> {
        let parameter = |choice| ModelRepositoryParameter { parameter_choice: Some(choice) };
        entries.into_iter().map(|(key, choice)| (key.to_owned(), parameter(choice))).collect()
    }

    #[test]
    fn the_index_shows_what_is_known_and_filters_what_is_not_ready() {
        let entries = [
            IndexEntry { name: "a".into(), version: Some(1), state: Some(ModelState::Ready), reason: String::new() },
            IndexEntry { name: "b".into(), version: None, state: None, reason: String::new() },
        ];
        let mut request = RepositoryIndexRequest::default();
        let all = encode_index(&request, &entries).unwrap().models;
        assert_eq!((all[0].version.as_str(), all[0].state.as_str()), ("1", "READY"));
        assert_eq!(all[1], ModelIndex { name: "b".into(), ..ModelIndex::default() });
        request.ready = true;
        assert_eq!(encode_index(&request, &entries).unwrap().models.len(), 1);
        request.repository_name = "r".into();
        assert_eq!(encode_index(&request, &entries).unwrap_err().kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn a_load_brings_a_configuration_and_files() {
        let mut request = RepositoryModelLoadRequest { model_name: "m".into(), ..Default::default() };
        assert_eq!(decode_load_request(request.clone()).unwrap(), ("m".to_owned(), LoadOverrides::default()));
        request.parameters = parameters([
            ("config", ParameterChoice::StringParam("{}".into())),
            ("file:1/model.onnx", ParameterChoice::BytesParam(b"onnx".as_slice().into())),
        ]);
        let (_, overrides) = decode_load_request(request).unwrap();
        assert_eq!(overrides.config.as_deref(), Some("{}"));
        assert_eq!(overrides.files["1/model.onnx"], b"onnx".as_slice());
    }

    #[test]
    fn load_parameters_have_their_types_and_names() {
        for (name, choice, text) in [
            (
                "config",
                ParameterChoice::Int64Param(1),
                "invalid value type for load parameter 'config', expected string_param.",
            ),
            (
                "file:1/m",
                ParameterChoice::StringParam(String::new()),
                "invalid value type for load parameter 'file:1/m', expected bytes_param.",
            ),
            ("colour", ParameterChoice::StringParam(String::new()), "unrecognized load parameter 'colour'."),
        ] {
            let request = RepositoryModelLoadRequest { parameters: parameters([(name, choice)]), ..Default::default() };
            let error = decode_load_request(request).unwrap_err();
            assert_eq!((error.kind(), error.message()), (ErrorKind::InvalidArgument, text));
        }
    }

    #[test]
    fn unload_dependents_must_be_a_boolean() {
        let mut request = RepositoryModelUnloadRequest::default();
        assert!(!unload_dependents(&request).unwrap());
        request.parameters = parameters([("unload_dependents", ParameterChoice::BoolParam(true))]);
        assert!(unload_dependents(&request).unwrap());
        request.parameters = parameters([("unload_dependents", ParameterChoice::StringParam("true".into()))]);
        let error = unload_dependents(&request).unwrap_err();
        assert_eq!(error.message(), "invalid value type for 'unload_dependents' parameter, expected bool_param.");
    }
}
