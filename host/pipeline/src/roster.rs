//! The instances of one generation, and how they become those that another configuration asks for.
//!
//! New instances are made before anything changes, and added before others leave: there is always one that serves.
//! An instance that both configurations ask for goes on untouched; one that leaves finishes its requests. A passive
//! instance is made and kept, and the scheduler never hears of it.

use std::sync::Arc;

use nereid_backend::{Instance, LoadedModel};
use nereid_inference::{InferError, LoadClock, LoadStep, MemoryUsage, ModelConfig};
use nereid_memory::Warmed;
use nereid_scheduler::{InstanceId, NewInstance, Scheduler, on_cores};
use nereid_telemetry::Telemetry;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::{
    instances::{InstanceRules, WantedInstance, wanted_instances},
    recorder::Recorder,
    warmup::Warmup,
};

/// Makes instances that are ready for clients.
pub(crate) struct Maker {
    pub(crate) loaded: Arc<dyn LoadedModel>,
    pub(crate) warmup: Warmup,
    pub(crate) rules: InstanceRules,
    /// Who is told of instances on GPUs, and where that is counted.
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) runtime: Handle,
    /// What the warm-up of the instances has shown.
    pub(crate) warmed: Mutex<Warmed>,
    /// What the first of them take.
    pub(crate) clock: LoadClock,
}

/// Where an instance is.
#[derive(Clone)]
enum Place {
    Scheduled(InstanceId),
    /// Held for as long as it is wanted.
    Passive {
        _instance: Arc<Mutex<Instance>>,
    },
}

/// A running scheduler and what its instances are.
pub(crate) struct Roster {
    maker: Maker,
    scheduler: Scheduler,
    /// Held while they change, which takes as long as making an instance.
    instances: Mutex<Vec<(WantedInstance, Place)>>,
}

// === impl Maker ===

impl Maker {
    /// Makes an instance on the cores that it will work on, and runs it warm unless it is passive, as Triton does.
    fn make(&self, wanted: &WantedInstance) -> Result<NewInstance, InferError> {
        let cores = wanted.cores(&self.rules.host_policies)?;
        let made = on_cores(cores.as_ref(), || {
            let _within = self.runtime.enter();
            let mut instance = self.clock.time(LoadStep::Start, || self.loaded.new_instance(&wanted.spec))?;
            if !wanted.nature.passive {
                let warm_up = || self.warmup.run(&mut instance, &self.runtime);
                let warmed = self.clock.time(LoadStep::WarmUp, warm_up)?;
                let mut most = self.warmed.lock();
                *most = most.max(warmed);
            }
            Ok::<_, InferError>(instance)
        });
        let (name, instance) = (wanted.spec.name.clone(), made??);
        if cores.is_some() && matches!(instance, Instance::Task(_)) {
            let policy = wanted.host_policy();
            tracing::warn!(
                "host policy '{policy}' does not bind instance '{name}': its backend executes on the server's own threads"
            );
        }
        let gpu = wanted.gpu();
        gpu.iter().for_each(|gpu| self.recorder.begin_gpu(*gpu, &self.telemetry, &self.rules.gpus.gpus));
        Ok(NewInstance { name, instance, gpu, demand: wanted.demand(), cores })
    }
}

// === impl Roster ===

impl Roster {
    /// Makes these instances and starts their scheduler. Must be called within the
    /// runtime, and on none of its workers.
    pub(crate) fn start(
        wanted: Vec<WantedInstance>,
        maker: Maker,
        start: impl FnOnce(Vec<NewInstance>) -> Result<Scheduler, InferError>,
    ) -> Result<Self, InferError> {
        let (passive, active): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|wanted| wanted.nature.passive);
        let scheduler = start(active.iter().map(|wanted| maker.make(wanted)).collect::<Result<_, InferError>>()?)?;
        let scheduled = scheduler.instance_ids().into_iter().map(Place::Scheduled);
        let mut instances: Vec<(WantedInstance, Place)> = active.into_iter().zip(scheduled).collect();
        for wanted in passive {
            let place = Place::passive(maker.make(&wanted)?);
            instances.push((wanted, place));
        }
        Ok(Self { maker, scheduler, instances: Mutex::new(instances) })
    }

    pub(crate) fn scheduler(&self) -> &Scheduler {
        &self.scheduler
    }

    /// What the warm-up of every instance has shown.
    pub(crate) fn warmed(&self) -> Warmed {
        *self.maker.warmed.lock()
    }

    /// Whether the backend says that it can serve.
    pub(crate) fn readiness(&self) -> Result<(), InferError> {
        self.maker.loaded.readiness()
    }

    /// Tells the backend that no further request is routed here.
    pub(crate) fn retire(&self) {
        let _within = self.maker.runtime.enter();
        self.maker.loaded.retire();
    }

    /// What the backend says that the model's own file is.
    pub(crate) fn digest(&self) -> Option<&str> {
        self.maker.loaded.digest()
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
        let made: Vec<(WantedInstance, NewInstance)> =
            missing.into_iter().map(make).collect::<Result<_, InferError>>()?;
        let mut added = Vec::with_capacity(made.len());
        for (wanted, instance) in made {
            let place = match wanted.nature.passive {
                true => Ok(Place::passive(instance)),
                false => self.scheduler.add_instance(instance).map(Place::Scheduled),
            };
            match place {
                Ok(place) => added.push((wanted, place)),
                Err(error) => {
                    added.into_iter().for_each(|(_, place)| self.let_go(&place));
                    return Err(error);
                }
            }
        }
        leaving.iter().for_each(|place| self.let_go(place));
        kept.append(&mut added);
        *instances = kept;
        Ok(())
    }

    fn let_go(&self, place: &Place) {
        if let Place::Scheduled(id) = place {
            self.scheduler.retire_instance(*id);
        }
    }
}

// === impl Place ===

impl Place {
    fn passive(new: NewInstance) -> Self {
        Self::Passive { _instance: Arc::new(Mutex::new(new.instance)) }
    }
}

/// Those that stay, those that leave, and what is missing.
type Matched<P> = (Vec<(WantedInstance, P)>, Vec<P>, Vec<WantedInstance>);

/// Instances of a wanted name stay before others of the same nature.
fn matched<P: Clone>(instances: &[(WantedInstance, P)], wanted: Vec<WantedInstance>) -> Matched<P> {
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
    (kept, free.into_iter().map(|(_, place)| place).collect(), missing)
}

#[cfg(test)]
mod tests;
