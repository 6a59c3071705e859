//! What must hold in the simulation of the limiter, counted from what executes and not from what the limiter believes.

use super::*;

impl World {
    /// Nothing was granted beyond what there is. What was granted already stays so when a pool shrinks.
    pub(super) fn check_grants(&mut self) {
        let granted: BTreeMap<Resource, u64> =
            self.limiter.pools.in_use().map(|(resource, used, _)| (resource.clone(), used)).collect();
        for (resource, used) in &granted {
            let is_more = *used > self.granted.get(resource).copied().unwrap_or_default();
            assert!(!is_more || *used <= self.size(resource), "{resource:?} is overdrawn: {used}");
        }
        self.granted = granted;
    }

    /// What executes was granted, and all of it together takes no more than was.
    pub(super) fn check_grant(&mut self, index: usize, instance: InstanceIndex) {
        let model = self.models[index].as_ref().unwrap();
        if !model.demands[&instance].is_limited() {
            return;
        }
        assert_eq!(self.stage(model, instance), Stage::Granted, "executes without a grant");
        for (resource, used) in self.in_use() {
            assert!(used <= self.granted.get(&resource).copied().unwrap_or_default(), "{resource:?} is taken twice");
        }
    }

    fn stage(&self, model: &Model, instance: InstanceIndex) -> Stage {
        self.limiter.members[&model.gate.member(instance).unwrap()].stage
    }

    pub(super) fn every_model(&self) -> impl Iterator<Item = &Model> {
        self.models.iter().flatten()
    }

    /// Counted from what executes, not from what the limiter believes.
    fn in_use(&self) -> BTreeMap<Resource, u64> {
        let mut used = BTreeMap::new();
        for model in self.every_model() {
            for (resource, count) in model.busy.keys().flat_map(|instance| &model.demands[instance].resources) {
                *used.entry(resource.clone()).or_default() += count;
            }
        }
        used.retain(|_, used| *used > 0);
        used
    }

    fn size(&self, resource: &Resource) -> u64 {
        let supply = self.supplies.iter().find(|supply| *supply.name == *resource.name);
        let demands = self.every_model().flat_map(|model| model.demands.values());
        let counts = demands.filter_map(|demand| demand.resources.get(resource).copied());
        supply.map_or_else(|| counts.max().unwrap_or_default(), |supply| supply.count)
    }

    /// After every step.
    pub(super) fn check(&self) {
        assert!(self.limiter.news.keys().all(|owner| self.woken.contains(owner)), "a grant that nobody will hear of");
        let turn_max = |member: &Member| self.limiter.now + Turn::from(member.demand.priority.max(1));
        assert!(self.limiter.members.values().all(|member| member.turn <= turn_max(member)), "a turn runs away");
        if let Some((_, _, first)) = self.limiter.asking.first() {
            let used: BTreeMap<Resource, u64> =
                self.limiter.pools.in_use().map(|(resource, used, _)| (resource.clone(), used)).collect();
            let fits = |(resource, count): (&Resource, &u64)| {
                used.get(resource).copied().unwrap_or_default() + count <= self.size(resource)
            };
            let demand = &self.limiter.members[first].demand;
            assert!(!demand.resources.iter().all(fits), "the earliest turn fits and waits");
        }
        for (index, model) in self.models.iter().enumerate() {
            if let Some(model) = model {
                self.check_model(index, model);
            }
        }
    }

    fn check_model(&self, index: usize, model: &Model) {
        let waiting = || self.requests.iter().filter(|known| known.model == index && known.fate == Fate::Waiting);
        let oldest = waiting().filter(|known| !known.cancelled.get()).map(|known| known.arrived).min();
        let is_due = oldest.is_some_and(|oldest| oldest + model.delay_max <= self.now || model.is_draining);
        let limited = model.demands.iter().filter(|(_, demand)| demand.is_limited()).map(|(instance, _)| *instance);
        for instance in limited {
            let stage = self.stage(model, instance);
            if model.busy.contains_key(&instance) {
                assert_eq!(stage, Stage::Granted, "executes what it no longer holds");
            } else if is_due && !model.has_sequences && !model.leaving.contains(&instance) {
                assert_ne!(stage, Stage::Resting, "there is work for an idle instance, and it does not ask");
            } else if waiting().next().is_none() && !self.woken.contains(&model.gate.owner) {
                assert_eq!(stage, Stage::Resting, "nothing waits, and it asks");
            }
        }
    }
}

/// An exchange that is fair: executions move turns on, whoever begins to ask begins now, and what is granted is not what
/// an earlier turn waits for.
pub(super) fn checked_exchange(limiter: &mut Limiter, owner: OwnerId, changes: Vec<(MemberId, Change)>) -> Exchange {
    let executed = changes.iter().filter(|(_, change)| *change == Change::Executed);
    let executed: Vec<(MemberId, Turn)> = executed.map(|(id, _)| (*id, limiter.members[id].turn)).collect();
    let (asked, before) = (limiter.asking.clone(), limiter.now);
    let granted = |limiter: &Limiter| -> BTreeSet<MemberId> {
        let granted = limiter.members.iter().filter(|(_, member)| member.stage == Stage::Granted);
        granted.map(|(id, _)| *id).collect()
    };
    let granted_before = granted(limiter);
    let exchange = limiter.exchange(owner, changes);
    for (id, turn) in executed {
        let cost = limiter.members.get(&id).map(|member| Turn::from(member.demand.priority.max(1)));
        let is_paid = cost.is_none_or(|cost| limiter.members[&id].turn >= turn + cost);
        assert!(is_paid, "an execution cost nothing");
    }
    let begins_late = limiter.asking.difference(&asked).all(|(turn, _, _)| *turn >= before);
    assert!(begins_late, "an instance makes up for what it did not ask for");
    let granted_now = granted(limiter);
    for late in granted_now.difference(&granted_before).map(|id| &limiter.members[id]) {
        for (_, _, id) in limiter.asking.iter().filter(|(turn, _, _)| *turn < late.turn) {
            check_passing(limiter, &late.demand, &limiter.members[id].demand);
        }
    }
    exchange
}

/// One that was granted beside an earlier turn which still waits leaves it what it waits for.
fn check_passing(limiter: &Limiter, granted: &Demand, waiting: &Demand) {
    let taken = granted.resources.iter().filter(|(_, count)| **count > 0).map(|(resource, _)| resource);
    for resource in taken {
        let wanted = waiting.resources.get(resource).copied().unwrap_or_default();
        let (used, size) = limiter.pools.level(resource);
        assert!(used + wanted <= size || wanted == 0, "{resource:?} went to a later turn than one that waits for it");
    }
}
