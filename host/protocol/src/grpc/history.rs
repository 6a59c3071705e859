//! The generations of models as messages of Nereid's own service.

use std::time::{Duration, UNIX_EPOCH};

use nereid_inference::{GenerationRecord, ModelHistory};

use super::generations::{Generation, GenerationVersion, HistoryResponse, LoadStep, ModelHistory as HistoryMessage};

/// The answer to `History`.
pub fn encode_history(histories: &[ModelHistory]) -> HistoryResponse {
    let models = histories.iter().map(|history| HistoryMessage {
        name: history.model.clone(),
        generations: history.generations.iter().map(generation).collect(),
    });
    HistoryResponse { models: models.collect() }
}

fn generation(record: &GenerationRecord) -> Generation {
    let GenerationRecord { number, at, requested_by, is_override, versions, state, times } = record;
    let since_epoch = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let versions = versions.iter().map(|(version, digest)| GenerationVersion {
        version: version.to_string(),
        blake3: digest.clone().unwrap_or_default(),
    });
    Generation {
        number: *number,
        time_us: micros(since_epoch),
        requested_by: requested_by.clone(),
        overridden: *is_override,
        versions: versions.collect(),
        state: state.name().to_owned(),
        reason: state.reason().to_owned(),
        steps: times
            .iter()
            .map(|(step, took)| LoadStep { name: step.name().to_owned(), time_us: micros(*took) })
            .collect(),
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use nereid_inference::GenerationState;

    use super::*;

    #[test]
    fn every_field_arrives() {
        let record = GenerationRecord {
            number: 3,
            at: UNIX_EPOCH + Duration::from_micros(7),
            requested_by: "grpc".to_owned(),
            is_override: true,
            versions: vec![(1, Some("ab".to_owned())), (2, None)],
            state: GenerationState::RolledBack { reason: "slow".to_owned() },
            times: [(nereid_inference::LoadStep::WarmUp, Duration::from_millis(5))].into(),
        };
        let history = ModelHistory { model: "n::m".to_owned(), generations: vec![record] };
        let version =
            |version: &str, blake3: &str| GenerationVersion { version: version.into(), blake3: blake3.into() };
        let expected = Generation {
            number: 3,
            time_us: 7,
            requested_by: "grpc".to_owned(),
            overridden: true,
            versions: vec![version("1", "ab"), version("2", "")],
            state: "rolled_back".to_owned(),
            reason: "slow".to_owned(),
            steps: vec![LoadStep { name: "warmed_up".to_owned(), time_us: 5000 }],
        };
        let models = vec![HistoryMessage { name: "n::m".to_owned(), generations: vec![expected] }];
        assert_eq!(encode_history(&[history]), HistoryResponse { models });
    }
}
