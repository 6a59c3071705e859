//! The instances of one generation, and how they become those that another configuration asks for.
//!
//! New instances are made before anything changes, and added before others leave: there is always one that serves.
//! An instance that both configurations ask for goes on untouched; one that leaves finishes its requests.

use std::sync::Arc;

use nereid_backend::{Instance, LoadedModel};
use nereid_inference::{InferError, MemoryUsage, ModelConfig};
use nereid_scheduler::{InstanceId, Scheduler};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::{
    instances::{WantedInstance, wanted_instances},
    warmup::Warmup,
};

/// Makes instances that are ready for clients.
pub(crate) struct Maker {
    pub(crate) loaded: Arc<dyn LoadedModel>,
    pub(crate) warmup: Warmup,
    pub(crate) runtime: Handle,
}

/// A running scheduler and what its instances are.
pub(crate) struct Roster {
    maker: Maker,
    scheduler: Scheduler,
    /// Held while they change, which takes as long as making an instance.
    instances: Mutex<Vec<(WantedInstance, InstanceId)>>,
}

// === impl Maker ===

impl Maker {
    fn make(&self, wanted: &WantedInstance) -> Result<Instance, InferError> {
        let mut instance = self.loaded.new_instance(&wanted.spec)?;
        self.warmup.run(&mut instance, &self.runtime)?;
        Ok(instance)
    }
}

// === impl Roster ===

impl Roster {
    /// Makes the instances that the configuration asks for and starts their scheduler. Must be called within the
    /// runtime, and on none of its workers.
    pub(crate) fn start(
        config: &ModelConfig,
        maker: Maker,
        start: impl FnOnce(Vec<(String, Instance)>) -> Result<Scheduler, InferError>,
    ) -> Result<Self, InferError> {
        let wanted = wanted_instances(config)?;
        let make = |wanted: &WantedInstance| Ok((wanted.spec.name.clone(), maker.make(wanted)?));
        let scheduler = start(wanted.iter().map(make).collect::<Result<_, InferError>>()?)?;
        let instances = wanted.into_iter().zip(scheduler.instance_ids()).collect();
        Ok(Self { maker, scheduler, instances: Mutex::new(instances) })
    }

    pub(crate) fn scheduler(&self) -> &Scheduler {
        &self.scheduler
    }

    /// What the loaded model occupies, as far as its backend can tell.
    pub(crate) fn memory_usage(&self) -> Vec<MemoryUsage> {
        self.maker.loaded.memory_usage()
    }

    /// Adds and retires instances until they are those that `config` asks for.
    ///
    /// # Errors
    /// An instance cannot be made. The instances are what they were.
    pub(crate) fn change(&self, config: &ModelConfig) -> Result<(), InferError> {
        let _within = self.maker.runtime.enter();
        let mut instances = self.instances.lock();
        let (mut kept, leaving, missing) = matched(&instances, wanted_instances(config)?);
        let make = |wanted: WantedInstance| {
            let instance = self.maker.make(&wanted)?;
            Ok((wanted, instance))
        };
        let made: Vec<(WantedInstance, Instance)> = missing.into_iter().map(make).collect::<Result<_, InferError>>()?;
        let mut added = Vec::with_capacity(made.len());
        for (wanted, instance) in made {
            match self.scheduler.add_instance(&wanted.spec.name, instance) {
                Ok(id) => added.push((wanted, id)),
                Err(error) => {
                    added.into_iter().for_each(|(_, id)| self.scheduler.retire_instance(id));
                    return Err(error);
                }
            }
        }
        leaving.into_iter().for_each(|id| self.scheduler.retire_instance(id));
        kept.append(&mut added);
        *instances = kept;
        Ok(())
    }
}

/// Those that stay, those that leave, and what is missing.
type Matched<Id> = (Vec<(WantedInstance, Id)>, Vec<Id>, Vec<WantedInstance>);

/// Instances of a wanted name stay before others of the same nature.
fn matched<Id: Copy>(instances: &[(WantedInstance, Id)], wanted: Vec<WantedInstance>) -> Matched<Id> {
    let mut free = instances.to_vec();
    let mut kept = Vec::new();
    let mut take = |fits: &dyn Fn(&WantedInstance) -> bool| -> bool {
        let position = free.iter().position(|(there, _)| fits(there));
        kept.extend(position.map(|position| free.remove(position)));
        position.is_some()
    };
    let mut missing = wanted;
    missing.retain(|wanted| !take(&|there| there.spec == wanted.spec && there.nature == wanted.nature));
    missing.retain(|wanted| !take(&|there| there.nature == wanted.nature));
    (kept, free.into_iter().map(|(_, id)| id).collect(), missing)
}

#[cfg(test)]
mod tests;
