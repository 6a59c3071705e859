//! The book after a swap: who is watched, who goes back, and what is told of it.

use std::{sync::Arc, time::Instant};

use nereid_inference::{GenerationState, LoadTimes, ModelConfig, ModelHistory, ServedModel};

use super::{
    Book, Retired,
    model::{Model, tally},
};
use crate::{book::Previous, lifecycle::Event, model_id::ModelId, swap::Verdict};

/// What a look at everything that is watched has found.
#[derive(Default)]
pub(crate) struct Look {
    /// Generations that are to go, and why.
    pub(crate) tripped: Vec<(ModelId, String)>,
    /// What nobody needs any more.
    pub(crate) retired: Retired,
    /// Whether there is anything to look at again.
    pub(crate) goes_on: bool,
}

// === impl Book ===

impl Book {
    /// Looks how those that are watched fare, and who is still needed for a sequence.
    pub(crate) fn look(&mut self, now: Instant) -> Look {
        let mut look = Look::default();
        for (id, model) in &mut self.models {
            look.retired.extend(model.line.settle());
            match model.look(now) {
                Some(Verdict::Tripped { why }) => look.tripped.push((id.clone(), why)),
                Some(Verdict::Passed) => look.retired.extend(model.pass()),
                Some(Verdict::Watching) | None => {}
            }
            look.goes_on |= model.watch.is_some() || model.line.has_elders();
        }
        look
    }

    /// Those of the generations that are not routed to which never will be again: nobody keeps them to go back to them, nor for
    /// their sequences.
    pub(crate) fn gone(&self, retired: &Retired) -> Retired {
        let is_kept = |served: &Arc<dyn ServedModel>| self.models.values().any(|model| model.refers_to(served));
        retired.iter().filter(|served| !is_kept(served)).cloned().collect()
    }

    /// Loads of the model so far that its history tells of.
    pub(crate) fn load_count(&self, id: &ModelId) -> u64 {
        self.models.get(id).map_or(0, |model| model.history.loads())
    }

    /// How long the steps of its last load took.
    pub(crate) fn note_times(&mut self, id: &ModelId, times: LoadTimes) {
        if let Some(model) = self.models.get_mut(id) {
            model.history.set_times(times);
        }
    }

    /// Whether a look has anything to look at.
    pub(crate) fn has_swaps(&self) -> bool {
        self.models.values().any(|model| model.watch.is_some() || model.line.has_elders())
    }

    /// The generation before takes its place again, when it is still warm; `None` when it is not.
    pub(crate) fn roll_back(&mut self, id: &ModelId, why: &str) -> Option<Retired> {
        let model = self.models.get_mut(id)?;
        let previous = model.previous.take_if(|previous| !previous.warm.is_empty())?;
        Some(model.go_back(previous, why))
    }

    /// What was served before what is served now, when it is known.
    pub(crate) fn previous(&self, id: &ModelId) -> Option<Previous> {
        self.models.get(id)?.previous.clone()
    }

    /// What is served is not to come back by itself, since somebody wants another generation.
    pub(crate) fn reject_served(&mut self, id: &ModelId) {
        let Some(model) = self.models.get_mut(id) else { return };
        let served: Vec<_> = model.ready().map(|(_, served)| served.clone()).collect();
        model.reject(&served);
    }

    /// Something has become of the generation of that number.
    pub(crate) fn note_state(&mut self, id: &ModelId, number: u64, state: GenerationState) {
        if let Some(model) = self.models.get_mut(id) {
            model.history.set(number, state);
        }
    }

    /// The number of the generation that is served.
    pub(crate) fn number(&self, id: &ModelId) -> u64 {
        self.models.get(id).map_or(0, |model| model.number)
    }

    /// Whether this file with this configuration was rolled back.
    pub(crate) fn is_rejected(&self, id: &ModelId, digest: &str, config: &ModelConfig) -> bool {
        let rejected = self.models.get(id).map(|model| &model.rejected);
        rejected.is_some_and(|rejected| rejected.iter().any(|(file, with)| file == digest && with == config))
    }

    /// The remembered generations of every model called `name`.
    pub(crate) fn histories(&self, name: &str) -> Vec<ModelHistory> {
        let is_called = |id: &ModelId| *id.name == *name || id.to_string() == name;
        let models = self.models.iter().filter(|(id, _)| is_called(id));
        models.map(|(id, model)| ModelHistory { model: id.to_string(), generations: model.history.records() }).collect()
    }
}

// === impl Model ===

impl Model {
    fn refers_to(&self, wanted: &Arc<dyn ServedModel>) -> bool {
        let warm = self.previous.iter().flat_map(|previous| &previous.warm);
        self.line.refers_to(wanted)
            || self
                .ready()
                .chain(warm.map(|(number, served)| (*number, served)))
                .any(|(_, own)| Arc::ptr_eq(own, wanted))
    }

    fn look(&mut self, now: Instant) -> Option<Verdict> {
        let watch = self.watch.as_mut()?;
        Some(watch.guard.look(now, &tally(&watch.fresh, now)).clone())
    }

    /// What is served may stay; hands out what was kept warm.
    fn pass(&mut self) -> Retired {
        self.watch = None;
        self.history.set(self.number, GenerationState::Serving);
        let warm = self.previous.as_mut().map(|previous| std::mem::take(&mut previous.warm));
        warm.unwrap_or_default().into_iter().map(|(_, served)| served).collect()
    }

    /// Nothing is left to go back to.
    pub(super) fn forget_previous(&mut self) -> Retired {
        self.watch = None;
        self.is_rolled_back = false;
        let warm = self.previous.take().map(|previous| previous.warm).unwrap_or_default();
        warm.into_iter().map(|(_, served)| served).collect()
    }

    fn go_back(&mut self, previous: Previous, why: &str) -> Retired {
        let Previous { number, source, warm, .. } = previous;
        let fresh = self.watch.take().map(|watch| watch.fresh).unwrap_or_default();
        self.reject(&fresh);
        let mut left = Retired::new();
        for (version_number, version) in &mut self.versions {
            if !warm.iter().any(|(warm, _)| warm == version_number) {
                left.extend(version.retire(Event::UnloadBegins));
            }
        }
        for (version_number, served) in warm {
            let Some(version) = self.versions.get_mut(&version_number) else { continue };
            version.apply(Event::LoadBegins);
            left.extend(version.serve(served, &self.line));
        }
        let source_before = self.source.replace(source);
        self.leave(&left, source_before);
        self.is_ephemeral = self.source.as_ref().is_some_and(|source| source.is_ephemeral);
        self.is_rolled_back = true;
        let bad = std::mem::replace(&mut self.number, number);
        self.history.set(bad, GenerationState::RolledBack { reason: why.to_owned() });
        self.history.set(number, GenerationState::Serving);
        self.update_failure = Some(format!("generation {bad} was rolled back: {why}"));
        let mut retired = self.line.turn_over(self.ready().map(|(_, served)| served.clone()).collect(), &left);
        retired.extend(left);
        retired
    }
}
