//! The repository index, and the parameters of loading and unloading.

use nereid_inference::{IndexEntry, InferError, ModelState};

use super::proto::{
    RepositoryIndexRequest, RepositoryIndexResponse, RepositoryModelLoadRequest, RepositoryModelUnloadRequest,
    model_repository_parameter::ParameterChoice, repository_index_response::ModelIndex,
};

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

/// Checks that a load asks for nothing but the model as it lies in the repository.
///
/// # Errors
/// `Unsupported` for a repository name and for configurations or files sent along, `InvalidArgument` for a parameter
/// that does not exist.
pub fn check_load_request(request: &RepositoryModelLoadRequest) -> Result<(), InferError> {
    refuse_repository_name(&request.repository_name)?;
    match request.parameters.keys().next().map(String::as_str) {
        None => Ok(()),
        Some(key) if key == "config" || key.starts_with("file:") => Err(InferError::unsupported(format!(
            "parameter '{key}' of loading model '{}' is not supported by this server: change the model's directory \
             and load it again",
            request.model_name
        ))),
        Some(key) => Err(InferError::invalid_argument(format!(
            "unrecognized parameter '{key}' of loading model '{}', expected 'config' or 'file:<path>'",
            request.model_name
        ))),
    }
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
    fn loading_refuses_what_it_would_have_to_ignore() {
        let mut request = RepositoryModelLoadRequest { model_name: "m".into(), ..Default::default() };
        assert!(check_load_request(&request).is_ok());
        request.parameters = parameters([("config", ParameterChoice::StringParam("{}".into()))]);
        assert_eq!(check_load_request(&request).unwrap_err().kind(), ErrorKind::Unsupported);
        request.parameters = parameters([("colour", ParameterChoice::Int64Param(1))]);
        assert_eq!(check_load_request(&request).unwrap_err().kind(), ErrorKind::InvalidArgument);
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
