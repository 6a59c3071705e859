//! What became of the generations of a model, for whoever asks who changed what and when.

use std::time::SystemTime;

use crate::LoadTimes;

/// The generations of one model that are remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelHistory {
    /// Its name, with its namespace where there is one.
    pub model: String,
    /// Oldest first.
    pub generations: Vec<GenerationRecord>,
}

/// One load of a model: what is served since, or why that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerationRecord {
    /// Counts the loads of the model in this process, from 1.
    pub number: u64,
    pub at: SystemTime,
    /// Who or what asked for it.
    pub requested_by: String,
    /// The files, or the configuration, came with the request.
    pub is_override: bool,
    /// The versions that were loaded, with the BLAKE3 hash of each one's own file where that is known.
    pub versions: Vec<(u64, Option<String>)>,
    pub state: GenerationState,
    /// How long the steps of the load took, those that were taken.
    pub times: LoadTimes,
}

/// What became of a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GenerationState {
    /// It answers, and its guard's window is open.
    Watched,
    /// It answers.
    Serving,
    /// Another took its place, or it was unloaded.
    Retired,
    /// It answered, and the one before it has its place again.
    RolledBack { reason: String },
    /// It never answered.
    Failed { reason: String },
}

// === impl GenerationState ===

impl GenerationState {
    /// The word in documents.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Watched => "watched",
            Self::Serving => "serving",
            Self::Retired => "retired",
            Self::RolledBack { .. } => "rolled_back",
            Self::Failed { .. } => "failed",
        }
    }

    /// Why; empty when there is nothing to say.
    pub fn reason(&self) -> &str {
        match self {
            Self::RolledBack { reason } | Self::Failed { reason } => reason,
            Self::Watched | Self::Serving | Self::Retired => "",
        }
    }
}
