//! How much of each resource there is, and how much of it is in use.
//!
//! Without a word of the operator a pool is as large as the largest demand on it, so that every instance can execute and
//! two that want the most never do so together. As soon as the operator names one resource, only what was named exists.
//! Sizes follow the instances that are there; what is in use when a pool shrinks comes back as it was taken.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use nereid_inference::InferError;

use super::Demand;

/// A resource: one pool for the whole server, or one per device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    pub name: Arc<str>,
    pub scope: Scope,
}

/// Who shares a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Every instance of the server.
    Global,
    /// Those on one device; the processor is device 0.
    Device(i32),
}

/// What the operator says there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supply {
    pub name: String,
    pub count: u64,
    /// `None` for every device.
    pub device: Option<i32>,
}

#[derive(Debug)]
pub(super) struct Pools {
    supplies: Vec<Supply>,
    sizes: BTreeMap<Resource, u64>,
    used: BTreeMap<Resource, u64>,
}

/// One pass over those who ask.
pub(super) struct Round<'a> {
    pools: &'a mut Pools,
    /// What those who were passed over wait for.
    reserved: BTreeMap<Resource, u64>,
}

// === impl Pools ===

impl Pools {
    pub(super) fn new(supplies: Vec<Supply>) -> Self {
        Self { supplies, sizes: BTreeMap::new(), used: BTreeMap::new() }
    }

    /// Makes the pools fit these demands.
    ///
    /// # Errors
    /// One of them can never be met, or two contradict each other. The pools are what they were.
    pub(super) fn fit<'a>(&mut self, demands: impl Iterator<Item = &'a Demand>) -> Result<(), InferError> {
        let mut sizes: BTreeMap<Resource, u64> = BTreeMap::new();
        for (resource, count) in demands.flat_map(|demand| &demand.resources) {
            let largest = sizes.entry(resource.clone()).or_default();
            *largest = (*largest).max(*count);
        }
        if !self.supplies.is_empty() {
            for (resource, size) in &mut sizes {
                let (supply, needed) = (self.supply(resource), *size);
                if supply < needed {
                    return Err(InferError::invalid_argument(format!(
                        "Resource count for \"{}\" is limited to {supply} which will prevent scheduling of one or more \
                         model instances, the minimum required count is {needed}",
                        resource.name
                    )));
                }
                *size = supply;
            }
        }
        refuse_two_scopes(&sizes)?;
        self.sizes = sizes;
        Ok(())
    }

    /// What the operator gave. For a global resource the device does not matter; of several entries the largest counts.
    fn supply(&self, resource: &Resource) -> u64 {
        let fits = |supply: &&Supply| {
            *supply.name == *resource.name
                && match (resource.scope, supply.device) {
                    (Scope::Global, _) | (Scope::Device(_), None) => true,
                    (Scope::Device(device), Some(named)) => device == named,
                }
        };
        self.supplies.iter().filter(fits).map(|supply| supply.count).max().unwrap_or_default()
    }

    pub(super) fn put_back(&mut self, demand: &Demand) {
        for (resource, count) in &demand.resources {
            if let Some(used) = self.used.get_mut(resource) {
                *used = used.saturating_sub(*count);
            }
        }
        self.used.retain(|_, used| *used > 0);
    }

    pub(super) fn round(&mut self) -> Round<'_> {
        Round { pools: self, reserved: BTreeMap::new() }
    }

    /// What is used of a resource, and what there is.
    #[cfg(test)]
    pub(super) fn level(&self, resource: &Resource) -> (u64, u64) {
        let of = |counts: &BTreeMap<Resource, u64>| counts.get(resource).copied().unwrap_or_default();
        (of(&self.used), of(&self.sizes))
    }

    #[cfg(test)]
    pub(super) fn in_use(&self) -> impl Iterator<Item = (&Resource, u64, u64)> {
        self.used
            .iter()
            .map(|(resource, used)| (resource, *used, self.sizes.get(resource).copied().unwrap_or_default()))
    }
}

fn refuse_two_scopes(sizes: &BTreeMap<Resource, u64>) -> Result<(), InferError> {
    let global: BTreeSet<&str> =
        sizes.keys().filter(|resource| resource.scope == Scope::Global).map(|resource| &*resource.name).collect();
    let both = sizes.keys().find(|resource| resource.scope != Scope::Global && global.contains(&*resource.name));
    both.map_or(Ok(()), |resource| {
        Err(InferError::invalid_argument(format!(
            "Resource \"{}\" is present as both global and device-specific resource in the model configuration.",
            resource.name
        )))
    })
}

// === impl Round ===

impl Round<'_> {
    /// Takes all of a demand if it fits; otherwise keeps it from those who come later.
    pub(super) fn take_or_reserve(&mut self, demand: &Demand) -> bool {
        let fits = demand.resources.iter().all(|(resource, count)| {
            let of = |counts: &BTreeMap<Resource, u64>| counts.get(resource).copied().unwrap_or_default();
            let taken = of(&self.pools.used).saturating_add(of(&self.reserved));
            taken.saturating_add(*count) <= of(&self.pools.sizes)
        });
        let counts = if fits { &mut self.pools.used } else { &mut self.reserved };
        for (resource, count) in demand.resources.iter().filter(|(_, count)| **count > 0) {
            let taken = counts.entry(resource.clone()).or_default();
            *taken = taken.saturating_add(*count);
        }
        fits
    }
}
