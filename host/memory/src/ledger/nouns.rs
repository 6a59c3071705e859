//! What the ledger is told, what it says, and what it counts in.

use std::collections::BTreeMap;

use nereid_inference::ModelIdentity;

/// What a version takes, as far as it was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Footprint {
    /// Whatever the number of instances.
    pub(crate) shared_bytes: u64,
    /// Of each instance, with one batch of its warm-up.
    pub(crate) instance_bytes: u64,
}

/// What a load turned out to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Measured {
    pub(crate) footprint: Footprint,
    /// More than that, for a moment of the load.
    pub(crate) surplus_bytes: u64,
}

/// What a load is about.
#[derive(Clone, Debug)]
pub(crate) struct LoadFacts {
    pub(crate) model: ModelIdentity,
    /// What executes it: the first load of each brings a library or an engine along, which stays.
    pub(crate) runtime: String,
    pub(crate) files_bytes: u64,
    pub(crate) instances: u64,
}

/// What a load is expected to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Estimate {
    /// At its highest.
    pub(crate) peak_bytes: u64,
    /// When it is over, with the instances of the load.
    pub(crate) resting_bytes: u64,
    pub(crate) footprint: Footprint,
    pub(crate) basis: Basis,
}

/// Where a number comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Basis {
    /// The files of a version that was not loaded before.
    Files,
    /// The last load of the version.
    LastLoad,
    /// This load.
    ThisLoad,
    /// This load, with what its runtime keeps from now on.
    FirstOfRuntime,
}

/// Bytes by what they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) models: u64,
    pub(crate) loading: u64,
    pub(crate) in_flight: u64,
}

/// Why something was refused: the `reason` of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Before a load began.
    Load,
    /// After it: it took more than was expected.
    Measured,
    /// More instances of a model that is loaded.
    Instances,
    Request,
}

/// Something that would pass the budget.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    pub(crate) wanted_bytes: u64,
    pub(crate) basis: Basis,
    pub(crate) budget_bytes: u64,
    pub(crate) usage: Usage,
    /// The largest models, largest first.
    pub(crate) largest: Vec<(ModelIdentity, u64)>,
}

/// The ledger at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    pub budget_bytes: u64,
    /// What each loaded version is charged, its generations together.
    pub models: BTreeMap<ModelIdentity, u64>,
    /// Reserved for loads under way.
    pub loading_bytes: u64,
    /// Tensors of requests under way.
    pub in_flight_bytes: u64,
    /// How often something was refused, by its reason.
    pub refusals: [(&'static str, u64); 4],
}

// === impl Footprint ===

impl Footprint {
    /// With so many instances.
    pub(crate) fn of(self, instances: u64) -> u64 {
        self.shared_bytes.saturating_add(self.instance_bytes.saturating_mul(instances))
    }
}

// === impl Usage ===

impl Usage {
    pub(crate) fn total(self) -> u64 {
        self.models + self.loading + self.in_flight
    }
}

// === impl Reason ===

impl Reason {
    pub(crate) const ALL: [Self; 4] = [Self::Load, Self::Measured, Self::Instances, Self::Request];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Measured => "measured",
            Self::Instances => "instances",
            Self::Request => "request",
        }
    }
}
