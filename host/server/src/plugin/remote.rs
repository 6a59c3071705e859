//! What `nereid plugin push`, `rollback` and `history` have in common: the server that they speak to.

use std::{
    num::NonZeroU64,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::Args;
use nereid_client::{Endpoint, Generation, RemoteRepository};
use tokio::runtime;

use crate::{arguments::DestinationArguments, error::ServerError};

/// Digits of a hash that are shown: enough to tell the builds of a day apart.
const HASH_DIGITS_SHOWN: usize = 12;

#[derive(Args, Clone, Debug)]
pub(super) struct RemoteArguments {
    #[command(flatten)]
    destination: DestinationArguments,

    /// How long the server may take for a request, compiling and warming up included, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "300")]
    timeout: NonZeroU64,
}

// === impl RemoteArguments ===

impl RemoteArguments {
    pub(super) fn url(&self) -> &Endpoint {
        &self.destination.url
    }

    pub(super) async fn repository(&self) -> Result<RemoteRepository, ServerError> {
        let timeout = Duration::from_secs(self.timeout.get());
        let destination = self.destination.destination().map_err(ServerError::Client)?;
        RemoteRepository::open(&destination, timeout).await.map_err(ServerError::Client)
    }
}

/// Runs what waits for a server.
pub(super) fn wait<T>(work: impl Future<Output = Result<T, ServerError>>) -> Result<T, ServerError> {
    runtime::Builder::new_current_thread().enable_all().build().map_err(ServerError::Runtime)?.block_on(work)
}

/// Version and hash of each version: `1 3f9a0c…`.
pub(super) fn builds(generation: &Generation) -> String {
    let builds = generation.versions.iter().map(|version| match &version.blake3 {
        Some(hash) => format!("{} {}", version.version, hash.get(..HASH_DIGITS_SHOWN).unwrap_or(hash)),
        None => version.version.clone(),
    });
    builds.collect::<Vec<String>>().join("\n")
}

/// How long ago a generation was loaded, in the largest unit that there is at least one of.
pub(super) fn age(generation: &Generation) -> String {
    let loaded = UNIX_EPOCH + Duration::from_micros(generation.time_us);
    let seconds = SystemTime::now().duration_since(loaded).unwrap_or_default().as_secs();
    let (count, unit) = match seconds {
        0..60 => (seconds, "s"),
        60..3_600 => (seconds / 60, "min"),
        3_600..86_400 => (seconds / 3_600, "h"),
        _ => (seconds / 86_400, "d"),
    };
    format!("{count} {unit} ago")
}

#[cfg(test)]
mod tests {
    use nereid_client::GenerationVersion;

    use super::*;

    fn generation(seconds_ago: u64) -> Generation {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let version = |version: &str, blake3: Option<&str>| GenerationVersion {
            version: version.to_owned(),
            blake3: blake3.map(str::to_owned),
        };
        Generation {
            number: 1,
            time_us: u64::try_from(now.as_micros()).unwrap() - seconds_ago * 1_000_000,
            requested_by: "http".to_owned(),
            versions: vec![version("1", Some("0123456789abcdef")), version("2", None)],
            state: "serving".to_owned(),
            reason: String::new(),
            steps: vec![],
        }
    }

    #[test]
    fn ages_are_in_their_largest_unit_and_hashes_are_short() {
        for (seconds, text) in [(5, "5 s ago"), (119, "1 min ago"), (7_300, "2 h ago"), (200_000, "2 d ago")] {
            assert_eq!(age(&generation(seconds)), text);
        }
        assert_eq!(builds(&generation(1)), "1 0123456789ab\n2");
    }
}
