//! The repository of a server, for those who bring models to it: load with files, history, the way back. Over either protocol;
//! `http/repository.rs` and `grpc/repository.rs` say how.

use std::{collections::BTreeMap, future::Future, time::Duration};

use tokio::time::timeout;

use crate::{connection::Connection, destination::Destination, endpoint::Endpoint, error::ClientError};

/// The file of a plugin in its version's directory, where the configuration names no other.
const DEFAULT_FILE: &str = "model.wasm";

/// The version that files go to where the server has none.
const FIRST_VERSION: u64 = 1;

/// One server's repository.
pub struct RemoteRepository {
    connection: Connection,
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Generation {
    pub number: u64,
    /// Microseconds since the Unix epoch.
    pub time_us: u64,
    pub requested_by: String,
    pub versions: Vec<GenerationVersion>,
    /// `watched`, `serving`, `retired`, `rolled_back` or `failed`.
    pub state: String,
    pub reason: String,
    /// What the load consisted of, in its order, with the time that it took; empty where the server does not say.
    pub steps: Vec<(String, Duration)>,
}

/// One version of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerationVersion {
    pub version: String,
    /// The hash of the model's own file, where the server knows it.
    pub blake3: Option<String>,
}

// === impl RemoteRepository ===

impl RemoteRepository {
    /// Over gRPC connects; over HTTP the first call does.
    ///
    /// # Errors
    /// Nobody answers there, or certificates are given that cannot be used.
    pub async fn open(destination: &Destination, timeout: Duration) -> Result<Self, ClientError> {
        let connection = Connection::open(destination, timeout).await?;
        Ok(Self { connection, endpoint: destination.endpoint.clone(), timeout })
    }

    /// Where in the model's directory its own file lies: of the version given, or of the highest one.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses to say.
    pub async fn file_of(&self, model: &str, version: Option<u64>) -> Result<String, ClientError> {
        let version = match version {
            Some(version) => version,
            None => self.limited(self.highest_version(model)).await?.unwrap_or(FIRST_VERSION),
        };
        let name = match self.limited(self.file_name(model)).await {
            // A model that is not served yet has no configuration to show.
            Err(ClientError::Refused { .. }) => String::new(),
            name => name?,
        };
        Ok(format!("{version}/{}", if name.is_empty() { DEFAULT_FILE } else { &name }))
    }

    /// Lays the parcel over the model and returns when the server serves it.
    ///
    /// # Errors
    /// The server cannot be reached, or what was sent does not load; the server then serves what it served before.
    pub async fn push(&self, model: &str, parcel: &Parcel) -> Result<(), ClientError> {
        let push = async {
            match &self.connection {
                Connection::Http(client) => client.push(model, parcel).await,
                Connection::Grpc(client) => client.push(model, parcel).await,
            }
        };
        self.limited(push).await
    }

    /// Serves the generation before the one that is served now.
    ///
    /// # Errors
    /// The server cannot be reached, or there is no such generation any more.
    pub async fn roll_back(&self, model: &str) -> Result<(), ClientError> {
        let roll_back = async {
            match &self.connection {
                Connection::Http(client) => client.roll_back(model).await,
                Connection::Grpc(client) => client.roll_back(model).await,
            }
        };
        self.limited(roll_back).await
    }

    /// The loads that the server remembers, oldest first.
    ///
    /// # Errors
    /// The server cannot be reached, or knows no such model.
    pub async fn history(&self, model: &str) -> Result<Vec<Generation>, ClientError> {
        let history = async {
            match &self.connection {
                Connection::Http(client) => client.history(model).await,
                Connection::Grpc(client) => client.history(model).await,
            }
        };
        self.limited(history).await
    }

    async fn highest_version(&self, model: &str) -> Result<Option<u64>, ClientError> {
        let index = match &self.connection {
            Connection::Http(client) => client.index().await,
            Connection::Grpc(client) => client.index().await,
        };
        Ok(index?.into_iter().filter(|entry| entry.name == model).filter_map(|entry| entry.version).max())
    }

    async fn file_name(&self, model: &str) -> Result<String, ClientError> {
        match &self.connection {
            Connection::Http(client) => client.file_name(model).await,
            Connection::Grpc(client) => client.file_name(model).await,
        }
    }

    async fn limited<T>(&self, call: impl Future<Output = Result<T, ClientError>>) -> Result<T, ClientError> {
        match timeout(self.timeout, call).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientError::Timeout { endpoint: self.endpoint.clone(), timeout: self.timeout }),
        }
    }
}
