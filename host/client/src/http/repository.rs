//! Loads with files, history and the way back, over HTTP.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use nereid_inference::IndexEntry;
use serde::Deserialize;
use serde_json::{Value, json};

use super::HttpClient;
use crate::{
    error::ClientError,
    parts::index_entry,
    repository::{Generation, GenerationVersion, Parcel},
};

#[derive(Deserialize)]
struct Histories {
    models: Vec<History>,
}

#[derive(Deserialize)]
struct History {
    generations: Vec<GenerationRow>,
}

#[derive(Deserialize)]
struct GenerationRow {
    generation: u64,
    time_us: u64,
    requested_by: String,
    versions: Vec<VersionRow>,
    state: String,
    reason: String,
    #[serde(default)]
    steps: Vec<StepRow>,
}

#[derive(Deserialize)]
struct StepRow {
    name: String,
    time_us: u64,
}

#[derive(Deserialize)]
struct VersionRow {
    version: String,
    blake3: Option<String>,
}

#[derive(Deserialize)]
struct IndexRow {
    name: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
struct FileName {
    #[serde(default)]
    default_model_filename: String,
}

// === impl HttpClient ===

impl HttpClient {
    /// Every row of the repository's index.
    pub(crate) async fn index(&self) -> Result<Vec<IndexEntry>, ClientError> {
        let rows: Vec<IndexRow> = self.post("/v2/repository/index", &json!({})).await?;
        let entry = |row: IndexRow| index_entry(row.name, &row.version, &row.state, row.reason);
        Ok(rows.into_iter().map(entry).collect())
    }

    pub(crate) async fn load(&self, model: &str, config: Option<String>) -> Result<(), ClientError> {
        let path = format!("/v2/repository/models/{}/load", Self::escaped(model));
        let parameters: serde_json::Map<String, Value> =
            config.map(|config| ("config".to_owned(), json!(config))).into_iter().collect();
        self.tell(&path, &json!({ "parameters": parameters })).await
    }

    pub(crate) async fn unload(&self, model: &str, dependents: bool) -> Result<(), ClientError> {
        let path = format!("/v2/repository/models/{}/unload", Self::escaped(model));
        self.tell(&path, &json!({ "parameters": { "unload_dependents": dependents } })).await
    }

    /// What its configuration calls its file; empty when it says nothing.
    pub(crate) async fn file_name(&self, model: &str) -> Result<String, ClientError> {
        let config: FileName = self.get(&format!("/v2/models/{}/config", Self::escaped(model))).await?;
        Ok(config.default_model_filename)
    }

    pub(crate) async fn push(&self, model: &str, parcel: &Parcel) -> Result<(), ClientError> {
        let files =
            parcel.files.iter().map(|(path, content)| (format!("file:{path}"), json!(STANDARD.encode(content))));
        let mut parameters: serde_json::Map<String, Value> = files.collect();
        parameters.insert("overlay".to_owned(), json!(true));
        if let Some(config) = &parcel.config {
            parameters.insert("config".to_owned(), json!(config));
        }
        let path = format!("/v2/repository/models/{}/load", Self::escaped(model));
        self.tell(&path, &json!({ "parameters": parameters })).await
    }

    pub(crate) async fn roll_back(&self, model: &str) -> Result<(), ClientError> {
        let path = format!("/v2/repository/models/{}/rollback", Self::escaped(model));
        self.tell(&path, &json!({})).await
    }

    pub(crate) async fn history(&self, model: &str) -> Result<Vec<Generation>, ClientError> {
        let path = format!("/v2/debug/models/{}/generations", Self::escaped(model));
        let histories: Histories = self.get(&path).await?;
        let rows = histories.models.into_iter().flat_map(|history| history.generations);
        Ok(rows.map(Generation::from).collect())
    }
}

impl From<GenerationRow> for Generation {
    fn from(row: GenerationRow) -> Self {
        let version = |VersionRow { version, blake3 }| GenerationVersion { version, blake3 };
        let GenerationRow { generation, time_us, requested_by, versions, state, reason, steps } = row;
        let versions = versions.into_iter().map(version).collect();
        let steps = steps.into_iter().map(|step| (step.name, Duration::from_micros(step.time_us))).collect();
        Self { number: generation, time_us, requested_by, versions, state, reason, steps }
    }
}
