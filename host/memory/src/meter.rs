//! What a load took, from looks at the process before and after it: a function.
//!
//! The growth of resident memory is what a load took for certain. What may hide more is known too: memory that earlier
//! models left with the allocator and that the load took again without growth, models that went while it was measured,
//! loads that went on beside it unmeasured. As much of that as would explain the difference to the estimate is charged as
//! well, and no more: a model that takes less than its files, in a process that holds nothing back, is charged what it
//! takes.

use crate::ledger::{Footprint, Measured};

/// The process and the ledger at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) resident_bytes: u64,
    /// Of the ledger, since the start.
    pub(crate) released_bytes: u64,
    /// Of the ledger, since the start.
    pub(crate) unmeasured_bytes: u64,
}

/// Everything that is known of a load.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Readings {
    /// Resident before the first load of all.
    pub(crate) base_bytes: u64,
    /// Charged to other models when the load began.
    pub(crate) charged_bytes: u64,
    pub(crate) before: Look,
    /// Resident when what all instances share was there.
    pub(crate) shared_resident_bytes: u64,
    pub(crate) after: Look,
    /// The highest that resident memory was in between.
    pub(crate) peak_bytes: u64,
    pub(crate) estimate_bytes: u64,
    pub(crate) instances: u64,
    pub(crate) warmed: Warmed,
}

/// What the warm-up of a model's instances has shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Warmed {
    /// Tensors of the largest batch, inputs and outputs.
    pub batch_bytes: u64,
    /// Outputs of one row of a batch, at most.
    pub row_output_bytes: u64,
}

// === impl Readings ===

impl Readings {
    pub(crate) fn measured(&self) -> Measured {
        let grown = self.after.resident_bytes.saturating_sub(self.before.resident_bytes);
        let beside = self.after.unmeasured_bytes - self.before.unmeasured_bytes;
        let certain = grown.saturating_sub(beside);
        let own = certain + self.hidden(beside).min(self.estimate_bytes.saturating_sub(certain));
        let of_instances = self.after.resident_bytes.saturating_sub(self.shared_resident_bytes).min(own);
        let instance_bytes = of_instances.div_ceil(self.instances.max(1));
        let shared_bytes = own - of_instances;
        let footprint =
            Footprint { shared_bytes, instance_bytes: instance_bytes.saturating_add(self.warmed.batch_bytes) };
        Measured { footprint, surplus_bytes: self.peak_bytes.saturating_sub(self.after.resident_bytes) }
    }

    /// What the load may have taken without a trace.
    fn hidden(&self, beside: u64) -> u64 {
        let expected = self.base_bytes.saturating_add(self.charged_bytes);
        let held_back = self.before.resident_bytes.saturating_sub(expected);
        let released = self.after.released_bytes - self.before.released_bytes;
        held_back.saturating_add(released).saturating_add(beside)
    }
}

// === impl Warmed ===

impl Warmed {
    /// The larger of each.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            batch_bytes: self.batch_bytes.max(other.batch_bytes),
            row_output_bytes: self.row_output_bytes.max(other.row_output_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A load of an estimated 100 in a process of 1000, which rises to 1060 with the shared part and 1080 with two
    /// instances.
    fn readings() -> Readings {
        Readings {
            base_bytes: 900,
            charged_bytes: 100,
            before: Look { resident_bytes: 1_000, ..Look::default() },
            shared_resident_bytes: 1_060,
            after: Look { resident_bytes: 1_080, ..Look::default() },
            peak_bytes: 1_090,
            estimate_bytes: 100,
            instances: 2,
            warmed: Warmed::default(),
        }
    }

    #[track_caller]
    fn check(readings: Readings, shared_bytes: u64, instance_bytes: u64) {
        assert_eq!(readings.measured().footprint, Footprint { shared_bytes, instance_bytes }, "{readings:?}");
    }

    #[test]
    fn growth_is_the_charge_whatever_was_expected() {
        check(readings(), 60, 10);
        check(Readings { estimate_bytes: 5, ..readings() }, 60, 10);
        assert_eq!(readings().measured().surplus_bytes, 10);
    }

    #[test]
    fn memory_that_was_held_back_explains_what_is_missing_and_no_more() {
        // 15 more than base and models: they may have gone into this model.
        check(Readings { base_bytes: 885, ..readings() }, 75, 10);
        check(Readings { base_bytes: 0, ..readings() }, 80, 10);
        check(Readings { base_bytes: 0, estimate_bytes: 70, ..readings() }, 60, 10);
    }

    #[test]
    fn a_model_that_goes_meanwhile_hides_no_more_than_it_had() {
        let after = Look { resident_bytes: 1_080, released_bytes: 12, ..Look::default() };
        check(Readings { after, ..readings() }, 72, 10);
        let shrunk = Look { resident_bytes: 950, released_bytes: 500, ..Look::default() };
        check(Readings { after: shrunk, ..readings() }, 100, 0);
    }

    #[test]
    fn what_is_loaded_beside_it_is_not_charged_twice() {
        let after = Look { resident_bytes: 1_480, unmeasured_bytes: 400, ..Look::default() };
        // 80 for certain, and 20 that the neighbour may not have taken.
        check(Readings { after, shared_resident_bytes: 1_460, ..readings() }, 80, 10);
    }

    #[test]
    fn every_instance_has_room_for_a_batch_of_its_warm_up() {
        let warmed = Warmed { batch_bytes: 7, row_output_bytes: 1 };
        check(Readings { warmed, ..readings() }, 60, 17);
    }

    #[test]
    fn an_odd_byte_is_charged_to_every_instance() {
        let after = Look { resident_bytes: 1_081, ..Look::default() };
        check(Readings { after, ..readings() }, 60, 11);
    }
}
