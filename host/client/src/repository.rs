//! The repository of a server, for those who bring models to it: load with files, history, the way back. Over HTTP alone.

use std::{collections::BTreeMap, future::Future, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    arguments::HeaderArgument,
    endpoint::{Endpoint, Protocol},
    error::ClientError,
    http::HttpClient,
};

/// The file of a plugin in its version's directory, where the configuration names no other.
const DEFAULT_FILE: &str = "model.wasm";

/// The version that files go to where the server has none.
const FIRST_VERSION: u64 = 1;

/// One server's repository.
pub struct RemoteRepository {
    http: HttpClient,
    endpoint: Endpoint,
    timeout: Duration,
}

/// What is brought to a model: laid over what it is made of.
#[derive(Clone, Debug, Default)]
pub struct Parcel {
    /// By their paths in the model's directory.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The whole configuration, as JSON; what is there is kept without one.
    pub config: Option<String>,
}

/// One load of a model and what became of it, as the server remembers it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Generation {
    #[serde(rename = "generation")]
    pub number: u64,
    /// Microseconds since the Unix epoch.
    pub time_us: u64,
    pub requested_by: String,
    pub versions: Vec<GenerationVersion>,
    /// `watched`, `serving`, `retired`, `rolled_back` or `failed`.
    pub state: String,
    pub reason: String,
}

/// One version of it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct GenerationVersion {
    pub version: String,
    /// The hash of the model's own file, where the server knows it.
    pub blake3: Option<String>,
}

#[derive(Deserialize)]
struct Histories {
    models: Vec<History>,
}

#[derive(Deserialize)]
struct History {
    generations: Vec<Generation>,
}

#[derive(Deserialize)]
struct IndexRow {
    name: String,
    version: Option<String>,
}

#[derive(Default, Deserialize)]
struct FileName {
    #[serde(default)]
    default_model_filename: String,
}

// === impl RemoteRepository ===

impl RemoteRepository {
    /// Connects when it is first asked.
    ///
    /// # Errors
    /// The address is one of gRPC.
    pub fn new(endpoint: &Endpoint, headers: &[HeaderArgument], timeout: Duration) -> Result<Self, ClientError> {
        if endpoint.protocol == Protocol::Grpc {
            let text = format!("{endpoint}: this is done over HTTP; give --url http://HOST:PORT");
            return Err(ClientError::Arguments(text));
        }
        Ok(Self { http: HttpClient::new(endpoint.clone(), headers.to_vec()), endpoint: endpoint.clone(), timeout })
    }

    /// Where in the model's directory its own file lies: of the version given, or of the highest one.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses to say.
    pub async fn file_of(&self, model: &str, version: Option<u64>) -> Result<String, ClientError> {
        let version = match version {
            Some(version) => version,
            None => self.highest_version(model).await?.unwrap_or(FIRST_VERSION),
        };
        let path = format!("/v2/models/{}/config", HttpClient::escaped(model));
        let name = match self.limited(self.http.get::<FileName>(&path)).await {
            // A model that is not served yet has no configuration to show.
            Err(ClientError::Refused { .. }) => FileName::default(),
            name => name?,
        };
        let name = if name.default_model_filename.is_empty() { DEFAULT_FILE } else { &name.default_model_filename };
        Ok(format!("{version}/{name}"))
    }

    async fn highest_version(&self, model: &str) -> Result<Option<u64>, ClientError> {
        let rows: Vec<IndexRow> = self.limited(self.http.post("/v2/repository/index", &json!({}))).await?;
        let versions = rows.into_iter().filter(|row| row.name == model);
        Ok(versions.filter_map(|row| row.version?.parse().ok()).max())
    }

    /// Lays the parcel over the model and returns when the server serves it.
    ///
    /// # Errors
    /// The server cannot be reached, or what was sent does not load; the server then serves what it served before.
    pub async fn push(&self, model: &str, parcel: &Parcel) -> Result<(), ClientError> {
        let files =
            parcel.files.iter().map(|(path, content)| (format!("file:{path}"), json!(STANDARD.encode(content))));
        let mut parameters: serde_json::Map<String, Value> = files.collect();
        parameters.insert("overlay".to_owned(), json!(true));
        if let Some(config) = &parcel.config {
            parameters.insert("config".to_owned(), json!(config));
        }
        let path = format!("/v2/repository/models/{}/load", HttpClient::escaped(model));
        self.limited(self.http.tell(&path, &json!({ "parameters": parameters }))).await
    }

    /// Serves the generation before the one that is served now.
    ///
    /// # Errors
    /// The server cannot be reached, or there is no such generation any more.
    pub async fn roll_back(&self, model: &str) -> Result<(), ClientError> {
        let path = format!("/v2/repository/models/{}/rollback", HttpClient::escaped(model));
        self.limited(self.http.tell(&path, &json!({}))).await
    }

    /// The loads that the server remembers, oldest first.
    ///
    /// # Errors
    /// The server cannot be reached, or knows no such model.
    pub async fn history(&self, model: &str) -> Result<Vec<Generation>, ClientError> {
        let path = format!("/v2/debug/models/{}/generations", HttpClient::escaped(model));
        let histories: Histories = self.limited(self.http.get(&path)).await?;
        Ok(histories.models.into_iter().flat_map(|history| history.generations).collect())
    }

    async fn limited<T>(&self, call: impl Future<Output = Result<T, ClientError>>) -> Result<T, ClientError> {
        match timeout(self.timeout, call).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientError::Timeout { endpoint: self.endpoint.clone(), timeout: self.timeout }),
        }
    }
}
