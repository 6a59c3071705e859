//! Counts and durations of models as messages.

use nereid_inference as domain;

use super::proto::{
    InferBatchStatistics, InferResponseStatistics, InferStatistics, MemoryUsage, ModelStatistics, StatisticDuration,
};

/// One model version's row of a `ModelStatisticsResponse`.
pub fn encode_statistics(statistics: &domain::ModelStatistics) -> ModelStatistics {
    ModelStatistics {
        name: statistics.identity.name.as_ref().to_owned(),
        version: statistics.identity.version.to_string(),
        last_inference: statistics.last_inference_ms,
        inference_count: statistics.inference_count,
        execution_count: statistics.execution_count,
        inference_stats: Some(stages(&statistics.inference)),
        batch_stats: statistics.batches.iter().map(batch).collect(),
        memory_usage: statistics.memory.iter().map(memory).collect(),
        response_stats: (0..).zip(&statistics.responses).map(by_index).collect(),
    }
}

fn stages(stages: &domain::InferStatistics) -> InferStatistics {
    InferStatistics {
        success: duration(stages.success),
        fail: duration(stages.fail),
        queue: duration(stages.queue),
        compute_input: duration(stages.compute_input),
        compute_infer: duration(stages.compute_infer),
        compute_output: duration(stages.compute_output),
        cache_hit: duration(stages.cache_hit),
        cache_miss: duration(stages.cache_miss),
    }
}

fn by_index((index, row): (u64, &domain::ResponseStatistics)) -> (String, InferResponseStatistics) {
    (index.to_string(), response(row))
}

fn response(response: &domain::ResponseStatistics) -> InferResponseStatistics {
    InferResponseStatistics {
        compute_infer: duration(response.compute_infer),
        compute_output: duration(response.compute_output),
        success: duration(response.success),
        fail: duration(response.fail),
        empty_response: duration(response.empty_response),
        cancel: duration(response.cancel),
    }
}

fn memory(usage: &domain::MemoryUsage) -> MemoryUsage {
    MemoryUsage { r#type: usage.kind.name().to_owned(), id: usage.device_id, byte_size: usage.bytes }
}

fn batch(batch: &domain::BatchStatistics) -> InferBatchStatistics {
    InferBatchStatistics {
        batch_size: batch.batch_size,
        compute_input: duration(batch.compute_input),
        compute_infer: duration(batch.compute_infer),
        compute_output: duration(batch.compute_output),
    }
}

/// Present even when zero, as clients read through it without asking.
fn duration(duration: domain::DurationStatistic) -> Option<StatisticDuration> {
    Some(StatisticDuration { count: duration.count, ns: duration.total_ns })
}

#[cfg(test)]
mod tests {
    use nereid_inference::{BatchStatistics, DurationStatistic, MemoryKind, ModelIdentity};

    use super::*;

    /// The stage whose values start at `seed`, so that a swapped field shows.
    fn stage(seed: u64) -> DurationStatistic {
        DurationStatistic { count: seed, total_ns: seed * 10 }
    }

    #[test]
    fn every_stage_lands_in_its_own_field() {
        let inference = domain::InferStatistics {
            success: stage(1),
            fail: stage(2),
            queue: stage(3),
            compute_input: stage(4),
            compute_infer: stage(5),
            compute_output: stage(6),
            cache_hit: stage(7),
            cache_miss: stage(8),
        };
        let batch = BatchStatistics {
            batch_size: 4,
            compute_input: stage(9),
            compute_infer: stage(10),
            compute_output: stage(11),
        };
        let response = domain::ResponseStatistics {
            compute_infer: stage(12),
            compute_output: stage(13),
            success: stage(14),
            fail: stage(15),
            empty_response: stage(16),
            cancel: stage(17),
        };
        let message = encode_statistics(&domain::ModelStatistics {
            identity: ModelIdentity::new("m", 2),
            last_inference_ms: 21,
            inference_count: 22,
            execution_count: 23,
            inference,
            batches: vec![batch],
            responses: vec![domain::ResponseStatistics::default(), response],
            memory: vec![domain::MemoryUsage { kind: MemoryKind::Gpu, device_id: 1, bytes: 24 }],
        });
        let expected = |seed| Some(StatisticDuration { count: seed, ns: seed * 10 });
        let stages = message.inference_stats.unwrap();
        let found = [
            stages.success,
            stages.fail,
            stages.queue,
            stages.compute_input,
            stages.compute_infer,
            stages.compute_output,
            stages.cache_hit,
            stages.cache_miss,
            message.batch_stats[0].compute_input,
            message.batch_stats[0].compute_infer,
            message.batch_stats[0].compute_output,
            message.response_stats["1"].compute_infer,
            message.response_stats["1"].compute_output,
            message.response_stats["1"].success,
            message.response_stats["1"].fail,
            message.response_stats["1"].empty_response,
            message.response_stats["1"].cancel,
        ];
        assert!(found.into_iter().eq((1..=17).map(expected)), "{found:?}");
        assert_eq!(message.response_stats["0"].success, expected(0));
        let memory = MemoryUsage { r#type: "GPU".to_owned(), id: 1, byte_size: 24 };
        assert_eq!(message.memory_usage, [memory]);
        assert_eq!((message.name.as_str(), message.version.as_str()), ("m", "2"));
        assert_eq!((message.last_inference, message.inference_count, message.execution_count), (21, 22, 23));
        assert_eq!(message.batch_stats[0].batch_size, 4);
    }
}
