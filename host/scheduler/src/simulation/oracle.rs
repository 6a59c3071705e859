//! What dynamic batching should decide, told a second time and in another way: over sums of rows instead of one request
//! after another. That the two agree is what the simulations check; neither knows of the other.

use std::time::Instant;

use crate::SchedulerSettings;

/// What to do with the candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// The first `requests` of them run now.
    Run {
        requests: usize,
    },
    Wait {
        until: Instant,
    },
    /// The batching strategy has not said yet whether this one joins.
    Ask {
        place: usize,
    },
    Nothing,
}

/// A request that could run next, as the play knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) id: usize,
    pub(crate) rows: u64,
    pub(crate) shape: u64,
    pub(crate) arrived: Instant,
}

/// The decision over candidates in the order in which they should run, of which a strategy may have said whether they join.
pub(crate) fn batching(
    settings: &SchedulerSettings,
    now: Instant,
    candidates: &[Candidate],
    advice: impl Fn(usize) -> Option<bool>,
) -> Expected {
    let Some(first) = candidates.first() else { return Expected::Nothing };
    let Some(batching) = &settings.batching else { return Expected::Run { requests: 1 } };
    let mut sums: Vec<u64> = Vec::new();
    for candidate in candidates.iter().take_while(|candidate| candidate.shape == first.shape) {
        sums.push(sums.last().unwrap_or(&0) + candidate.rows);
    }
    let fitting = sums.iter().filter(|sum| **sum <= settings.batch_rows_max).count().max(1);
    let first_without_a_yes = (0..fitting).find(|place| advice(*place) != Some(true));
    let fitting = match first_without_a_yes {
        Some(place) if advice(place).is_none() => return Expected::Ask { place },
        Some(place) => place,
        None => fitting,
    };
    let preferred = (1..=fitting).rev().find(|count| batching.preferred_rows.contains(&sums[count - 1]));
    if let Some(requests) = preferred {
        return Expected::Run { requests };
    }
    let rows = sums[fitting - 1];
    let nobody_else_fits = fitting < candidates.len() || rows >= settings.batch_rows_max;
    let beyond_preferred = batching.preferred_rows.iter().max().is_some_and(|largest| rows >= *largest);
    let until = candidates[..fitting].iter().map(|candidate| candidate.arrived).min().unwrap() + batching.delay_max;
    match nobody_else_fits || beyond_preferred || until <= now {
        true => Expected::Run { requests: fitting },
        false => Expected::Wait { until },
    }
}
