//! Dynamic batching: whether what waits is worth an execution now, and how much of it goes.
//!
//! The rules are Triton's: a batch goes at once when it reaches a preferred size, when the next request does not fit
//! any more, or when the oldest request has waited `delay_max`. Otherwise it waits for company.

use std::time::Instant;

use nereid_inference::{BatchReason, RequestProfile};

use crate::{SchedulerSettings, counsel::Advice};

/// What a batching decision needs to know of a request.
pub(crate) trait Batchable {
    /// Rows that the request adds to a batch.
    fn rows(&self) -> u64;

    /// Whether the two may share a batch: same inputs, same inner shapes.
    fn fits(&self, other: &Self) -> bool;

    /// Whether the two have the same inputs; what makes two requests that do not fit apart is looked at only then.
    fn has_inputs_of(&self, _other: &Self) -> bool {
        true
    }

    /// What a batching strategy is told of it.
    fn profile(&self) -> RequestProfile {
        RequestProfile { rows: self.rows(), ..RequestProfile::default() }
    }

    /// Whether nobody waits for the answer any more.
    fn is_cancelled(&self) -> bool;
}

impl<T: Batchable> Batchable for &T {
    fn rows(&self) -> u64 {
        (**self).rows()
    }

    fn fits(&self, other: &Self) -> bool {
        (**self).fits(other)
    }

    fn has_inputs_of(&self, other: &Self) -> bool {
        (**self).has_inputs_of(other)
    }

    fn profile(&self) -> RequestProfile {
        (**self).profile()
    }

    fn is_cancelled(&self) -> bool {
        (**self).is_cancelled()
    }
}

/// What to do with the requests at the head of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Run the first `requests` of them now, for this reason.
    Run { requests: usize, reason: BatchReason },
    /// Look again at this time, or when another request arrives.
    Wait { until: Instant },
    /// Whether request `index` joins those before it is for the batching strategy to say.
    Ask { index: usize },
    /// There is nothing.
    Nothing,
}

/// Decides over `waiting`, given in the order in which they should run, with their times of arrival, while an instance is
/// idle. `advice` is what the strategy has said of each, by its number; nothing where there is none.
pub(crate) fn decide<T: Batchable>(
    settings: &SchedulerSettings,
    now: Instant,
    mut waiting: impl Iterator<Item = (T, Instant)>,
    advice: impl Fn(usize) -> Advice,
) -> Decision {
    let Some((first, mut oldest)) = waiting.next() else { return Decision::Nothing };
    let Some(batching) = &settings.batching else {
        return Decision::Run { requests: 1, reason: BatchReason::Unbatched };
    };
    if advice(0) == Advice::Unknown {
        return Decision::Ask { index: 0 };
    }

    let rows_max = settings.batch_rows_max;
    let largest = batching.preferred_rows.last().copied().unwrap_or(rows_max);
    let preferred_at = |rows: u64| match batching.preferred_rows.contains(&rows) {
        true if rows >= rows_max => Some(BatchReason::Full),
        true => Some(BatchReason::Preferred),
        false => None,
    };
    let full = |rows: u64| (rows >= rows_max).then_some(BatchReason::Full);
    let (mut rows, mut requests) = (first.rows(), 1);
    let mut preferred = preferred_at(rows).map(|reason| (requests, reason));
    let mut closed = full(rows);
    while closed.is_none()
        && let Some((request, arrived)) = waiting.next()
    {
        let together = rows + request.rows();
        closed = obstacle(&first, &request, together > rows_max);
        if closed.is_some() {
            break;
        }
        match advice(requests) {
            Advice::Join => {}
            Advice::Stay => {
                closed = Some(BatchReason::Strategy);
                break;
            }
            Advice::Unknown => return Decision::Ask { index: requests },
        }
        (rows, requests) = (together, requests + 1);
        // One that is past its queue time runs last and has waited longest.
        oldest = oldest.min(arrived);
        preferred = preferred_at(rows).map(|reason| (requests, reason)).or(preferred);
        closed = full(rows);
    }
    if let Some((requests, reason)) = preferred {
        return Decision::Run { requests, reason };
    }
    let until = oldest.checked_add(batching.delay_max).unwrap_or(now);
    let above_preferred = (rows >= largest).then_some(BatchReason::AbovePreferred);
    match closed.or(above_preferred) {
        Some(reason) => Decision::Run { requests, reason },
        // Before the clock is asked: threads read it before they meet, so that a request may have come after `now`, and
        // nobody would wake a model without a delay.
        None if batching.delay_max.is_zero() => Decision::Run { requests, reason: BatchReason::NoDelay },
        None if until > now => Decision::Wait { until },
        None => Decision::Run { requests, reason: BatchReason::DelayOver },
    }
}

/// Where nobody is asked.
pub(crate) fn everybody_joins(_index: usize) -> Advice {
    Advice::Join
}

/// What keeps the next request out of a batch that begins with `first`.
fn obstacle<T: Batchable>(first: &T, next: &T, is_too_large: bool) -> Option<BatchReason> {
    match is_too_large {
        true => Some(BatchReason::NoRoom),
        false if next.fits(first) => None,
        false if next.has_inputs_of(first) => Some(BatchReason::OtherShape),
        false => Some(BatchReason::OtherInputs),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::BatchingSettings;

    const MS: Duration = Duration::from_millis(1);

    /// Rows and a shape; a capital has other inputs.
    struct Request(u64, char);

    impl Batchable for Request {
        fn rows(&self) -> u64 {
            self.0
        }

        fn fits(&self, other: &Self) -> bool {
            self.1 == other.1
        }

        fn has_inputs_of(&self, other: &Self) -> bool {
            self.1.is_uppercase() == other.1.is_uppercase()
        }

        fn is_cancelled(&self) -> bool {
            false
        }
    }

    fn settings(preferred: &[u64], delay_max: Duration) -> SchedulerSettings {
        SchedulerSettings {
            batch_rows_max: 8,
            batching: Some(BatchingSettings { preferred_rows: preferred.to_vec(), delay_max }),
            ..SchedulerSettings::unbatched()
        }
    }

    /// Decides over requests that arrived one millisecond after another, `waited` after the first.
    #[track_caller]
    fn check(preferred: &[u64], delay: Duration, waited: Duration, requests: &[(u64, char)], expected: Decision) {
        let settings = settings(preferred, delay);
        let start = *START;
        let requests: Vec<Request> = requests.iter().map(|(rows, shape)| Request(*rows, *shape)).collect();
        let waiting = requests.iter().enumerate().map(|(index, request)| (request, start + MS * index as u32));
        assert_eq!(decide(&settings, start + waited, waiting, everybody_joins), expected);
    }

    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    const ONE: (u64, char) = (1, 'a');

    fn run(requests: usize, reason: BatchReason) -> Decision {
        Decision::Run { requests, reason }
    }

    #[test]
    fn without_a_delay_everything_that_fits_goes_at_once() {
        check(&[], Duration::ZERO, Duration::ZERO, &[ONE, ONE, ONE], run(3, BatchReason::NoDelay));
        check(&[], Duration::ZERO, Duration::ZERO, &[], Decision::Nothing);
    }

    #[test]
    fn without_a_delay_a_request_goes_even_if_it_came_after_the_clock_was_read() {
        let settings = settings(&[], Duration::ZERO);
        let waiting = [(Request(1, 'a'), *START + MS)];
        assert_eq!(decide(&settings, *START, waiting.into_iter(), everybody_joins), run(1, BatchReason::NoDelay));
    }

    #[test]
    fn waits_for_company_until_the_oldest_has_waited_long_enough() {
        check(&[], 5 * MS, 2 * MS, &[ONE, ONE], Decision::Wait { until: *START + 5 * MS });
        check(&[], 5 * MS, 5 * MS, &[ONE, ONE], run(2, BatchReason::DelayOver));
    }

    #[test]
    fn a_preferred_size_goes_at_once_and_leaves_the_rest() {
        check(&[2, 4], 5 * MS, Duration::ZERO, &[ONE, ONE, ONE], run(2, BatchReason::Preferred));
        check(&[2, 4], 5 * MS, Duration::ZERO, &[ONE; 5], run(4, BatchReason::Preferred));
        check(&[4], 5 * MS, Duration::ZERO, &[ONE, ONE, ONE], Decision::Wait { until: *START + 5 * MS });
    }

    #[test]
    fn never_exceeds_the_largest_batch() {
        check(&[], 5 * MS, Duration::ZERO, &[(5, 'a'), (4, 'a')], run(1, BatchReason::NoRoom));
        check(&[], 5 * MS, Duration::ZERO, &[(5, 'a'), (3, 'a'), ONE], run(2, BatchReason::Full));
        check(&[8], 5 * MS, Duration::ZERO, &[(8, 'a'), ONE], run(1, BatchReason::Full));
        check(&[4], 5 * MS, Duration::ZERO, &[(4, 'a'), (4, 'a')], run(1, BatchReason::Preferred));
    }

    #[test]
    fn another_shape_or_other_inputs_close_the_batch() {
        check(&[], 5 * MS, Duration::ZERO, &[ONE, ONE, (1, 'b')], run(2, BatchReason::OtherShape));
        check(&[], 5 * MS, Duration::ZERO, &[ONE, ONE, (1, 'A')], run(2, BatchReason::OtherInputs));
    }

    #[test]
    fn a_batch_larger_than_every_preferred_size_goes_at_once() {
        check(&[4], 5 * MS, Duration::ZERO, &[(3, 'a'), (3, 'a')], run(2, BatchReason::AbovePreferred));
    }

    /// What a strategy says of three requests: y joins, n stays, ? is not known.
    #[track_caller]
    fn check_advice(preferred: &[u64], said: &str, expected: Decision) {
        let waiting = [0, 1, 2].map(|_| (Request(1, 'a'), *START));
        let advice = |index| match said.as_bytes()[index] {
            b'y' => Advice::Join,
            b'n' => Advice::Stay,
            _ => Advice::Unknown,
        };
        assert_eq!(decide(&settings(preferred, 5 * MS), *START, waiting.into_iter(), advice), expected);
    }

    #[test]
    fn a_strategy_closes_a_batch_and_nothing_is_decided_before_it_has_spoken() {
        check_advice(&[], "yyy", Decision::Wait { until: *START + 5 * MS });
        check_advice(&[], "yn?", run(1, BatchReason::Strategy));
        check_advice(&[], "yyn", run(2, BatchReason::Strategy));
        check_advice(&[], "nn?", run(1, BatchReason::Strategy));
        check_advice(&[], "???", Decision::Ask { index: 0 });
        check_advice(&[2], "yy?", Decision::Ask { index: 2 });
        check_advice(&[2], "yyn", run(2, BatchReason::Preferred));
    }
}
