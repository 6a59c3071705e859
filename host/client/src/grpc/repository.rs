//! Loads with files, history and the way back, over gRPC: the first with Triton's RPCs, the others with Nereid's own.

use std::time::Duration;

use nereid_inference::IndexEntry;
use nereid_protocol::grpc::{
    generations::{Generation as GenerationMessage, HistoryRequest, RollBackRequest},
    proto::{
        ModelConfigRequest, ModelRepositoryParameter, RepositoryIndexRequest, RepositoryModelLoadRequest,
        RepositoryModelUnloadRequest, model_repository_parameter::ParameterChoice,
    },
};

use super::{GrpcClient, refused};
use crate::{
    error::ClientError,
    parts::index_entry,
    repository::{Generation, GenerationVersion, Parcel},
};

// === impl GrpcClient ===

impl GrpcClient {
    /// Every row of the repository's index.
    pub(crate) async fn index(&self) -> Result<Vec<IndexEntry>, ClientError> {
        let request = self.request(RepositoryIndexRequest::default())?;
        let index = self.client.clone().repository_index(request).await.map_err(refused)?.into_inner();
        let entries = index.models.into_iter().map(|row| index_entry(row.name, &row.version, &row.state, row.reason));
        Ok(entries.collect())
    }

    pub(crate) async fn load(&self, model: &str, config: Option<String>) -> Result<(), ClientError> {
        let config = config.map(|config| ("config".to_owned(), parameter(ParameterChoice::StringParam(config))));
        let parameters = config.into_iter().collect();
        let message = RepositoryModelLoadRequest { model_name: model.to_owned(), parameters, ..Default::default() };
        self.client.clone().repository_model_load(self.request(message)?).await.map(drop).map_err(refused)
    }

    pub(crate) async fn unload(&self, model: &str, dependents: bool) -> Result<(), ClientError> {
        let dependents = ("unload_dependents".to_owned(), parameter(ParameterChoice::BoolParam(dependents)));
        let parameters = [dependents].into();
        let message = RepositoryModelUnloadRequest { model_name: model.to_owned(), parameters, ..Default::default() };
        self.client.clone().repository_model_unload(self.request(message)?).await.map(drop).map_err(refused)
    }

    /// What its configuration calls its file; empty when it says nothing.
    pub(crate) async fn file_name(&self, model: &str) -> Result<String, ClientError> {
        let request = self.request(ModelConfigRequest { name: model.to_owned(), version: String::new() })?;
        let answer = self.client.clone().model_config(request).await.map_err(refused)?.into_inner();
        Ok(answer.config.unwrap_or_default().default_model_filename)
    }

    pub(crate) async fn push(&self, model: &str, parcel: &Parcel) -> Result<(), ClientError> {
        let file = |(path, content): (&String, &Vec<u8>)| {
            (format!("file:{path}"), parameter(ParameterChoice::BytesParam(content.clone().into())))
        };
        let config =
            parcel.config.clone().map(|config| ("config".to_owned(), parameter(ParameterChoice::StringParam(config))));
        let overlay = ("overlay".to_owned(), parameter(ParameterChoice::BoolParam(true)));
        let parameters = parcel.files.iter().map(file).chain(config).chain([overlay]).collect();
        let message = RepositoryModelLoadRequest { model_name: model.to_owned(), parameters, ..Default::default() };
        self.client.clone().repository_model_load(self.request(message)?).await.map(drop).map_err(refused)
    }

    pub(crate) async fn roll_back(&self, model: &str) -> Result<(), ClientError> {
        let request = self.request(RollBackRequest { name: model.to_owned() })?;
        self.generations.clone().roll_back(request).await.map(drop).map_err(refused)
    }

    pub(crate) async fn history(&self, model: &str) -> Result<Vec<Generation>, ClientError> {
        let request = self.request(HistoryRequest { name: model.to_owned() })?;
        let histories = self.generations.clone().history(request).await.map_err(refused)?.into_inner();
        let messages = histories.models.into_iter().flat_map(|history| history.generations);
        Ok(messages.map(Generation::from).collect())
    }
}

fn parameter(choice: ParameterChoice) -> ModelRepositoryParameter {
    ModelRepositoryParameter { parameter_choice: Some(choice) }
}

impl From<GenerationMessage> for Generation {
    fn from(message: GenerationMessage) -> Self {
        let versions = message.versions.into_iter().map(|version| GenerationVersion {
            version: version.version,
            blake3: Some(version.blake3).filter(|hash| !hash.is_empty()),
        });
        Self {
            number: message.number,
            time_us: message.time_us,
            requested_by: message.requested_by,
            versions: versions.collect(),
            state: message.state,
            reason: message.reason,
            steps: message.steps.into_iter().map(|step| (step.name, Duration::from_micros(step.time_us))).collect(),
        }
    }
}
