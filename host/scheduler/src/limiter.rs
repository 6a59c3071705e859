//! Which instances may execute now, over all models of a server: an execution takes what its instance asks for out of
//! pools that all share, and gives it back when it ends.
//!
//! Promises: no pool is overdrawn; nobody waits for ever; among instances that always have work, one of priority `n` gets
//! `1/n` of the executions of one of priority 1. It takes all of a demand or nothing, so that nobody holds one resource
//! while waiting for another: there is no deadlock.
//!
//! Turns are those of start-time fair queueing. Every execution moves an instance's turn on by its priority; whoever
//! begins to ask does so at the turn of the last grant at the earliest, so that neither a new model nor one that was
//! silent for a day may make up for what it never asked for. The earliest turn goes first. One that does not fit lets
//! later ones pass, but only with what it does not wait for: many small demands do not starve a large one.
//!
//! Costs one pass over those who ask, whenever a demand is added or an execution ends.
//! Source of the rules: Triton's `rate_limiter.cc`, whose order this refines: there an instance that does not fit holds
//! everybody else up, and a new model goes first until it has executed as often as the old ones.

mod gate;
mod pools;

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use nereid_inference::InferError;

pub(crate) use self::gate::Gate;
use self::pools::Pools;
pub use self::pools::{Resource, Scope, Supply};
use crate::policy::InstanceIndex;

/// What one execution of an instance takes, and how its turn is weighed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Copies of each resource; without any the instance is not limited.
    pub resources: BTreeMap<Resource, u64>,
    /// An instance of priority `n` gets `1/n` of the turns of one of priority 1; 0 is taken for 1.
    pub priority: u32,
}

/// One scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OwnerId(u64);

/// One instance, for as long as it is there; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MemberId(u64);

/// What an owner says about one of its instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It has work.
    Ask,
    /// It neither wants nor uses a grant any more.
    LetGo,
    /// Its execution has ended.
    Executed,
    /// It is gone.
    Leave,
}

/// What follows from changes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Exchange {
    /// Instances of the owner that may execute now.
    pub(crate) granted: Vec<InstanceIndex>,
    /// Other owners for whom there are grants.
    pub(crate) woken: BTreeSet<OwnerId>,
}

/// Every instance that is limited, and what is left for them.
#[derive(Debug)]
pub(crate) struct Limiter {
    pools: Pools,
    members: BTreeMap<MemberId, Member>,
    /// Who asks: the earliest turn first, then who has asked longest.
    asking: BTreeSet<(Turn, u64, MemberId)>,
    /// Grants that their owners have not heard of.
    news: BTreeMap<OwnerId, Vec<MemberId>>,
    /// The turn of the last grant; it never goes back.
    now: Turn,
    next_id: u64,
}

/// Executions times priority. 128 bits: 2^32 is the largest step, and nobody executes 2^96 times.
type Turn = u128;

#[derive(Debug)]
struct Member {
    owner: OwnerId,
    instance: InstanceIndex,
    demand: Demand,
    turn: Turn,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Resting,
    /// Since the question of this number.
    Asking(u64),
    /// Its demand is taken out of the pools.
    Granted,
}

// === impl Demand ===

impl Demand {
    /// Whether executions have to be granted.
    pub fn is_limited(&self) -> bool {
        self.resources.values().any(|count| *count > 0)
    }
}

// === impl Limiter ===

impl Limiter {
    /// Pools of the sizes that `supplies` say; without any, each as large as the largest demand.
    pub(crate) fn new(supplies: Vec<Supply>) -> Self {
        Self {
            pools: Pools::new(supplies),
            members: BTreeMap::new(),
            asking: BTreeSet::new(),
            news: BTreeMap::new(),
            now: 0,
            next_id: 0,
        }
    }

    /// A scheduler that will have instances.
    pub(crate) fn enter(&mut self) -> OwnerId {
        OwnerId(self.number())
    }

    /// A new instance. A pool may grow with it: [`Limiter::settle`] is to follow.
    ///
    /// # Errors
    /// `InvalidArgument`: its demand can never be met, or contradicts those of others. It is not there then.
    pub(crate) fn join(
        &mut self,
        owner: OwnerId,
        instance: InstanceIndex,
        demand: Demand,
    ) -> Result<MemberId, InferError> {
        self.pools.fit(self.members.values().map(|member| &member.demand).chain([&demand]))?;
        let id = MemberId(self.number());
        self.members.insert(id, Member { owner, instance, demand, turn: self.now, stage: Stage::Resting });
        Ok(id)
    }

    /// Makes the changes in their order, gives what is left to those whose turn it is, and tells the owner what it got.
    pub(crate) fn exchange(
        &mut self,
        owner: OwnerId,
        changes: impl IntoIterator<Item = (MemberId, Change)>,
    ) -> Exchange {
        let mut woken = self.settle(changes);
        woken.remove(&owner);
        let news = self.news.remove(&owner).unwrap_or_default();
        let granted = news.iter().filter_map(|member| Some(self.members.get(member)?.instance)).collect();
        Exchange { granted, woken }
    }

    /// As [`Limiter::exchange`], for one who cannot listen now: says who is to look, which may be the owner itself.
    pub(crate) fn settle(&mut self, changes: impl IntoIterator<Item = (MemberId, Change)>) -> BTreeSet<OwnerId> {
        for (member, change) in changes {
            match change {
                Change::Ask => self.ask(member),
                Change::LetGo => self.let_go(member),
                Change::Executed => self.executed(member),
                Change::Leave => self.leave(member),
            }
        }
        self.grant();
        self.news.keys().copied().collect()
    }

    fn ask(&mut self, id: MemberId) {
        let number = self.number();
        let Some(member) = self.members.get_mut(&id).filter(|member| member.stage == Stage::Resting) else { return };
        member.turn = member.turn.max(self.now);
        member.stage = Stage::Asking(number);
        self.asking.insert((member.turn, number, id));
    }

    fn let_go(&mut self, id: MemberId) {
        let Some(member) = self.members.get_mut(&id) else { return };
        match mem::replace(&mut member.stage, Stage::Resting) {
            Stage::Resting => {}
            Stage::Asking(number) => drop(self.asking.remove(&(member.turn, number, id))),
            Stage::Granted => {
                self.pools.put_back(&member.demand);
                if let Some(news) = self.news.get_mut(&member.owner) {
                    news.retain(|granted| *granted != id);
                }
            }
        }
    }

    fn executed(&mut self, id: MemberId) {
        self.let_go(id);
        if let Some(member) = self.members.get_mut(&id) {
            member.turn += Turn::from(member.demand.priority.max(1));
        }
    }

    fn leave(&mut self, id: MemberId) {
        self.let_go(id);
        self.members.remove(&id);
        // What fitted with it fits without it.
        let _ = self.pools.fit(self.members.values().map(|member| &member.demand));
    }

    /// Grants to everybody who asks and fits, the earliest turn first.
    fn grant(&mut self) {
        let mut granted = Vec::new();
        let mut round = self.pools.round();
        for (turn, number, id) in &self.asking {
            let Some(member) = self.members.get_mut(id) else { continue };
            if round.take_or_reserve(&member.demand) {
                member.stage = Stage::Granted;
                self.now = self.now.max(*turn);
                self.news.entry(member.owner).or_default().push(*id);
                granted.push((*turn, *number, *id));
            }
        }
        for question in granted {
            self.asking.remove(&question);
        }
        self.news.retain(|_, news| !news.is_empty());
    }

    fn number(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    #[cfg(test)]
    pub(crate) fn member_count(&self) -> usize {
        self.members.len()
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
