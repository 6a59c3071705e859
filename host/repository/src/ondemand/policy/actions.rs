//! What is to be done now: who has waited too long, who is loaded next, and who makes room.

use std::time::Instant;

use super::{Action, Lack, Model, Policy, Refusal, Slot, State};

// === impl Policy: what is to be done ===

impl<W> Policy<W> {
    /// The next thing to do, if there is one. Ask again after it is begun, and after every event.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Action<W>> {
        self.expired(now).or_else(|| self.abandoned()).or_else(|| self.next_reload(now)).or_else(|| self.head())
    }

    /// When to ask again although nothing happens.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let waiting = self.models.iter().filter_map(|model| Some(model.waiters.front()?.until));
        waiting.chain(self.reloads.iter().map(|reload| reload.until)).min()
    }

    fn expired(&mut self, now: Instant) -> Option<Action<W>> {
        let is_late = |model: &Model<W>| model.waiters.front().is_some_and(|waiting| waiting.until <= now);
        let slot = self.models.iter().position(is_late)?;
        let model = self.models.get_mut(slot)?;
        let lack = match (&model.state, &model.lacks_memory) {
            (State::Queued, Some(reason)) => Lack::Memory(reason.clone()),
            (State::Queued, None) => Lack::Models,
            _ => Lack::Nothing,
        };
        let late = model.take_waiters(|waiting| waiting.until <= now);
        self.waiters -= late.len();
        Some(Action::Refuse(slot, late, Refusal::TooLong(lack)))
    }

    /// What nobody waits for any more need not be loaded.
    fn abandoned(&mut self) -> Option<Action<W>> {
        let models = &mut self.models;
        self.queue.retain(|slot| {
            let Some(model) = models.get_mut(*slot) else { return false };
            if model.waiters.is_empty() && matches!(model.state, State::Queued) {
                model.state = State::Unloaded;
                model.lacks_memory = None;
            }
            matches!(model.state, State::Queued)
        });
        None
    }

    /// The oldest wish: it is begun, or somebody makes room for it.
    fn head(&mut self) -> Option<Action<W>> {
        let head = *self.queue.front()?;
        let missing = self.missing(head);
        let whole = self.models.get(head)?.members.len() + 1;
        if whole > self.settings.models_max {
            return self.give_up(head, whole);
        }
        let is_leaving =
            |slot: &Slot| self.models.get(*slot).is_some_and(|model| matches!(model.state, State::Unloading));
        if missing.iter().any(is_leaving) {
            return None;
        }
        if self.lacks_memory(head) {
            return self.make_memory(head);
        }
        let room = self.settings.models_max.saturating_sub(self.occupied());
        if missing.len() <= room {
            if self.loads() >= self.settings.loads_max {
                return None;
            }
            self.queue.pop_front();
            for slot in missing {
                self.set(slot, State::Loading { by: head });
            }
            return Some(Action::Load(head));
        }
        let leaving = self.models.iter().filter(|model| matches!(model.state, State::Unloading)).count();
        if missing.len() <= room + leaving {
            return None;
        }
        let victim = self.victim(head)?;
        self.set(victim, State::Unloading);
        Some(Action::Unload(victim))
    }

    fn give_up(&mut self, slot: Slot, models: usize) -> Option<Action<W>> {
        self.queue.pop_front();
        let model = self.models.get_mut(slot)?;
        model.state = State::Unloaded;
        let waiters = model.take_waiters(|_| true);
        self.waiters -= waiters.len();
        Some(Action::Refuse(slot, waiters, Refusal::TooLarge { models }))
    }

    /// The model, and those below it, that somebody must load.
    fn missing(&self, slot: Slot) -> Vec<Slot> {
        let below = self.models.get(slot).map(|model| model.members.as_slice()).unwrap_or_default();
        let is_missing = |slot: &Slot| {
            let state = self.models.get(*slot).map(|model| &model.state);
            matches!(state, Some(State::Unloaded | State::Failed { .. } | State::Queued | State::Unloading))
        };
        std::iter::once(slot).chain(below.iter().copied()).filter(is_missing).collect()
    }

    fn occupied(&self) -> usize {
        let occupies =
            |model: &&Model<W>| matches!(model.state, State::Loading { .. } | State::Loaded | State::Unloading);
        self.models.iter().filter(occupies).count()
    }

    fn loads(&self) -> usize {
        let leads = |(slot, model): &(usize, &Model<W>)| matches!(model.state, State::Loading { by } if by == *slot);
        self.models.iter().enumerate().filter(leads).count()
    }

    /// The least recently used of those that may go now, for `head` to come.
    pub(super) fn victim(&self, head: Slot) -> Option<Slot> {
        let idle = self.candidates(head).filter(|(_, model)| model.in_flight == 0);
        idle.min_by_key(|(_, model)| model.used).map(|(slot, _)| slot)
    }

    /// Those that may go for `head` to come, once nobody uses them.
    pub(super) fn candidates(&self, head: Slot) -> impl Iterator<Item = (Slot, &Model<W>)> {
        let keeps = |model: &Model<W>| matches!(model.state, State::Loaded | State::Loading { .. } | State::Unloading);
        let mut needed = vec![false; self.models.len()];
        for (slot, model) in self.models.iter().enumerate().filter(|(slot, model)| *slot == head || keeps(model)) {
            needed.get_mut(slot).into_iter().for_each(|needed| *needed |= slot == head);
            for member in &model.members {
                needed.get_mut(*member).into_iter().for_each(|needed| *needed = true);
            }
        }
        let models = self.models.iter().zip(needed).enumerate();
        let may_go = |model: &Model<W>| matches!(model.state, State::Loaded) && !model.pinned;
        models.filter(move |(_, (model, needed))| may_go(model) && !needed).map(|(slot, (model, _))| (slot, model))
    }

    pub(super) fn set(&mut self, slot: Slot, state: State) {
        if let Some(model) = self.models.get_mut(slot) {
            model.state = state;
        }
    }
}
