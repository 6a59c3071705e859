//! `nereid plugin push`: a new build to a server that runs, without a restart.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Args;
use nereid_client::{Generation, Parcel, RemoteRepository};
use tokio::time::sleep;

use super::remote::{RemoteArguments, builds, wait};
use crate::error::ServerError;

/// How often the server is asked how a new generation fares.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// A state in the server's words: it answers, and is compared with the one before.
const WATCHED: &str = "watched";

/// States in which a generation answers.
const ANSWERING: [&str; 2] = [WATCHED, "serving"];

/// What is brought where.
#[derive(Args, Clone, Debug)]
pub(super) struct PushArguments {
    /// Name of the model
    #[arg(value_name = "MODEL")]
    model: String,

    /// The component; or a plugin's folder, whose config.pbtxt and plugin.toml are brought too
    #[arg(value_name = "FILE|FOLDER")]
    path: PathBuf,

    /// Version that the component becomes; the highest that the server has unless given
    #[arg(long, value_name = "VERSION")]
    version: Option<u64>,

    /// Wait until the server no longer watches the new generation; exit code 1 when the old one came back
    #[arg(long)]
    watch: bool,

    #[command(flatten)]
    remote: RemoteArguments,
}

/// Brings the build and says what became of it.
pub(super) fn run(arguments: &PushArguments) -> Result<ExitCode, ServerError> {
    let model = &arguments.model;
    wait(async {
        let repository = arguments.remote.repository().await?;
        let place = repository.file_of(model, arguments.version).await.map_err(ServerError::Client)?;
        let parcel = parcel(&arguments.path, place)?;
        let bytes: usize = parcel.files.values().map(Vec::len).sum();
        let size = nereid_workshop::bytes(bytes as u64);
        println!("{model}: {size} to {}, which compiles and tries it", arguments.remote.url());
        let started = Instant::now();
        repository.push(model, &parcel).await.map_err(ServerError::Client)?;
        let whole = started.elapsed();
        let generation = announce_served(&repository, model).await?;
        generation.iter().for_each(|generation| println!("{model}: {}", took(generation, whole)));
        match generation {
            Some(generation) if arguments.watch && generation.state == WATCHED => {
                watch(&repository, model, generation.number).await
            }
            _ => Ok(ExitCode::SUCCESS),
        }
    })
}

/// A component for one place, or everything of a folder that a server loads a plugin from.
fn parcel(path: &Path, place: String) -> Result<Parcel, ServerError> {
    if !path.is_dir() {
        return Ok(Parcel { files: [(place, read(path)?)].into(), config: None });
    }
    let mut parcel = Parcel::default();
    parcel.files.insert(place, read(&path.join("1/model.wasm"))?);
    let grants = path.join("plugin.toml");
    if grants.is_file() {
        parcel.files.insert("plugin.toml".to_owned(), read(&grants)?);
    }
    parcel.config = Some(nereid_repository::config_as_json(&path.join("config.pbtxt"))?);
    Ok(parcel)
}

fn read(path: &Path) -> Result<Vec<u8>, ServerError> {
    fs::read(path).map_err(|source| ServerError::Push { path: path.to_owned(), source })
}

/// Says which generation answers now.
pub(super) async fn announce_served(
    repository: &RemoteRepository,
    model: &str,
) -> Result<Option<Generation>, ServerError> {
    let generations = repository.history(model).await.map_err(ServerError::Client)?;
    let served = generations.into_iter().rfind(|generation| ANSWERING.contains(&generation.state.as_str()));
    if let Some(generation) = &served {
        let builds = builds(generation).replace('\n', ", ");
        let state = if generation.state == WATCHED { ", and is compared with the one before" } else { "" };
        println!("{model}: generation {} answers (version {builds}){state}", generation.number);
    }
    Ok(served)
}

/// How long each step took, and all of it with the way to the server and back.
fn took(generation: &Generation, whole: Duration) -> String {
    let step = |(name, took): &(String, Duration)| format!("{} in {}", name.replace('_', " "), shown(*took));
    let steps: Vec<String> = generation.steps.iter().map(step).collect();
    let steps = if steps.is_empty() { String::new() } else { format!("{}; ", steps.join(", ")) };
    format!("{steps}{} with the way there", shown(whole))
}

/// In the unit that leaves one to three digits in front of the point.
fn shown(took: Duration) -> String {
    match took.as_secs_f64() {
        seconds if seconds < 1e-3 => format!("{:.0} µs", seconds * 1e6),
        seconds if seconds < 1.0 => format!("{:.1} ms", seconds * 1e3),
        seconds => format!("{seconds:.2} s"),
    }
}

/// Until the guard's window is over, one way or the other.
async fn watch(repository: &RemoteRepository, model: &str, number: u64) -> Result<ExitCode, ServerError> {
    loop {
        sleep(WATCH_INTERVAL).await;
        let generations = repository.history(model).await.map_err(ServerError::Client)?;
        let Some(generation) = generations.into_iter().find(|generation| generation.number == number) else {
            println!("{model}: generation {number} is not remembered any more");
            return Ok(ExitCode::SUCCESS);
        };
        match (generation.state.as_str(), generation.reason.as_str()) {
            (WATCHED, _) => {}
            ("rolled_back" | "failed", reason) => {
                println!("{model}: generation {number} was taken back: {reason}");
                return Ok(ExitCode::FAILURE);
            }
            (state, _) => {
                println!("{model}: generation {number} is {state}");
                return Ok(ExitCode::SUCCESS);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_told_in_their_order_and_a_server_that_does_not_know_them_is_no_matter() {
        let milliseconds = Duration::from_millis;
        let steps =
            vec![("compiled".to_owned(), milliseconds(1_250)), ("warmed_up".to_owned(), Duration::from_micros(310))];
        let mut generation = Generation { steps, ..Generation::default() };
        assert_eq!(
            took(&generation, milliseconds(1_300)),
            "compiled in 1.25 s, warmed up in 310 µs; 1.30 s with the way there"
        );
        generation.steps.clear();
        assert_eq!(took(&generation, milliseconds(20)), "20.0 ms with the way there");
    }
}
