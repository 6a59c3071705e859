//! The limiter by hand: who is next, what may pass, what is refused; and shares in the long run.

use super::*;

fn resource(name: &str) -> Resource {
    let scope = if name.starts_with('G') { Scope::Global } else { Scope::Device(0) };
    Resource { name: name.into(), scope }
}

/// A demand written `R1:4 G:2 /3`, the last part being the priority.
fn demand(text: &str) -> Demand {
    let mut demand = Demand { priority: 1, ..Demand::default() };
    for word in text.split_whitespace() {
        match (word.split_once(':'), word.strip_prefix('/')) {
            (Some((name, count)), _) => drop(demand.resources.insert(resource(name), count.parse().unwrap())),
            (None, priority) => demand.priority = priority.unwrap().parse().unwrap(),
        }
    }
    demand
}

fn supplies(supplies: &[(&str, u64, Option<i32>)]) -> Vec<Supply> {
    supplies
        .iter()
        .map(|(name, count, device)| Supply { name: (*name).into(), count: *count, device: *device })
        .collect()
}

/// Instances of one scheduler, by their position.
struct Story {
    limiter: Limiter,
    owner: OwnerId,
    members: Vec<MemberId>,
}

impl Story {
    fn new(demands: &[&str]) -> Self {
        let mut limiter = Limiter::new(vec![]);
        let owner = limiter.enter();
        let members = demands.iter().zip(0..).map(|(text, instance)| limiter.join(owner, instance, demand(text)));
        let members = members.collect::<Result<_, _>>().unwrap();
        Self { limiter, owner, members }
    }

    fn tell(&mut self, changes: &[(usize, Change)]) -> Vec<InstanceIndex> {
        let changes = changes.iter().map(|(instance, change)| (self.members[*instance], *change));
        self.limiter.exchange(self.owner, changes.collect::<Vec<_>>()).granted
    }

    #[track_caller]
    fn check(&mut self, changes: &[(usize, Change)], expected: &[InstanceIndex]) {
        assert_eq!(self.tell(changes), expected);
    }
}

use Change::{Ask, Executed, Leave, LetGo};

#[test]
fn two_that_want_the_most_never_execute_together() {
    let mut story = Story::new(&["R1:4", "R1:4", "R1:1"]);
    story.check(&[(0, Ask)], &[0]);
    story.check(&[(1, Ask), (2, Ask)], &[]);
    story.check(&[(0, Executed)], &[1]);
    story.check(&[(1, Executed)], &[2]);
}

#[test]
fn what_fits_beside_those_who_wait_passes_them() {
    let mut story = Story::new(&["R1:2", "R1:2 R2:1", "R2:1", "R2:3", "R3:1"]);
    story.check(&[(0, Ask)], &[0]);
    story.check(&[(1, Ask)], &[]);
    story.check(&[(2, Ask), (4, Ask)], &[2, 4]);
    story.check(&[(3, Ask)], &[]);
    // One R2 is kept for 1, so that 3 has to wait for it although three were free.
    story.check(&[(2, Executed)], &[]);
    story.check(&[(0, Executed)], &[1]);
    story.check(&[(1, Executed)], &[3]);
}

#[test]
fn many_small_demands_do_not_starve_a_large_one() {
    let mut story = Story::new(&["R1:1", "R1:1", "R1:2"]);
    story.check(&[(0, Ask), (1, Ask)], &[0, 1]);
    story.check(&[(2, Ask)], &[]);
    story.check(&[(0, Executed), (0, Ask)], &[]);
    story.check(&[(1, Executed), (1, Ask)], &[2]);
    story.check(&[(2, Executed), (2, Ask)], &[0, 1]);
}

#[test]
fn a_newcomer_does_not_make_up_for_what_it_never_asked_for() {
    let mut story = Story::new(&["R1:1", "R1:1"]);
    story.check(&[(0, Ask)], &[0]);
    for _ in 0..1_000 {
        story.check(&[(0, Executed), (0, Ask)], &[0]);
    }
    story.check(&[(1, Ask)], &[]);
    story.check(&[(0, Executed), (0, Ask)], &[1]);
    story.check(&[(1, Executed), (1, Ask)], &[0]);
}

#[test]
fn whatever_lets_go_frees_what_it_held() {
    let mut story = Story::new(&["R1:1", "R1:1", "R1:1"]);
    story.check(&[(0, Ask)], &[0]);
    story.check(&[(1, Ask), (2, Ask)], &[]);
    story.check(&[(0, LetGo)], &[1]);
    story.check(&[(2, LetGo), (1, Leave)], &[]);
    assert_eq!((story.limiter.asking.len(), story.limiter.members.len()), (0, 2));
    assert_eq!(story.limiter.pools.in_use().count(), 0);
}

#[test]
fn others_are_woken_for_their_grants_and_find_them() {
    let mut limiter = Limiter::new(vec![]);
    let (one, other) = (limiter.enter(), limiter.enter());
    let mine = limiter.join(one, 0, demand("R1:1")).unwrap();
    let theirs = limiter.join(other, 7, demand("R1:1")).unwrap();
    assert_eq!(limiter.exchange(one, [(mine, Ask)]).granted, [0]);
    assert_eq!(limiter.exchange(other, [(theirs, Ask)]), Exchange::default());
    assert_eq!(limiter.exchange(one, [(mine, Executed)]).woken, [other].into());
    assert_eq!(limiter.exchange(other, []).granted, [7]);
    assert_eq!(limiter.exchange(other, []), Exchange::default());
}

/// Executions of each while all of them always ask for the one copy that there is.
fn executions(priorities: &[u32], rounds: usize) -> Vec<u64> {
    let demands: Vec<String> = priorities.iter().map(|priority| format!("R1:1 /{priority}")).collect();
    let mut story = Story::new(&demands.iter().map(String::as_str).collect::<Vec<_>>());
    let mut counts = vec![0; priorities.len()];
    let asks: Vec<(usize, Change)> = (0..priorities.len()).map(|instance| (instance, Ask)).collect();
    let mut running = story.tell(&asks);
    for _ in 0..rounds {
        assert_eq!(running.len(), 1, "one copy, one execution");
        counts[running[0]] += 1;
        running = story.tell(&[(running[0], Executed), (running[0], Ask)]);
    }
    counts
}

#[test]
fn an_instance_of_priority_n_gets_one_nth_of_the_turns() {
    assert_eq!(executions(&[1, 2], 3_000), [2_000, 1_000]);
    assert_eq!(executions(&[1, 0], 1_000), [500, 500]);
    let counts = executions(&[1, 2, 3, 6], 12_000);
    for (count, expected) in counts.iter().zip([6_000, 3_000, 2_000, 1_000]) {
        assert!(count.abs_diff(expected) <= 1, "{counts:?}");
    }
}

#[test]
fn nobody_waits_for_more_executions_than_priorities_say() {
    let priorities = [1, 1, 5];
    let mut story = Story::new(&["R1:1 /1", "R1:1 /1", "R1:1 /5"]);
    let mut running = story.tell(&[(0, Ask), (1, Ask), (2, Ask)]);
    let mut since = [0; 3];
    for _ in 0..1_000 {
        since.iter_mut().for_each(|count| *count += 1);
        since[running[0]] = 0;
        // Five executions of each of the others, and one that was under way.
        assert!(since.iter().zip(priorities).all(|(count, priority)| *count <= 2 * priority + 1), "{since:?}");
        running = story.tell(&[(running[0], Executed), (running[0], Ask)]);
    }
}

#[track_caller]
fn check_refused(given: &[(&str, u64, Option<i32>)], demands: &[&str], expected: &str) {
    let mut limiter = Limiter::new(supplies(given));
    let owner = limiter.enter();
    let joined: Vec<_> = demands.iter().map(|text| limiter.join(owner, 0, demand(text))).collect();
    let refused = joined.last().unwrap().as_ref().err().map(|error| error.message().to_owned());
    assert_eq!(refused.unwrap_or_default(), expected);
    assert_eq!(limiter.members.len(), joined.iter().filter(|joined| joined.is_ok()).count());
}

#[test]
fn a_demand_that_can_never_be_met_is_refused_in_tritons_words() {
    let limited = |name: &str, count: u64, needed: u64| {
        format!(
            "Resource count for \"{name}\" is limited to {count} which will prevent scheduling of one or more model \
             instances, the minimum required count is {needed}"
        )
    };
    check_refused(&[("R1", 3, None)], &["R1:4"], &limited("R1", 3, 4));
    check_refused(&[("R1", 10, Some(10))], &["R1:4"], &limited("R1", 0, 4));
    check_refused(&[("R1", 10, None)], &["R1:4", "R2:1"], &limited("R2", 0, 1));
    check_refused(&[("R1", 1, None), ("R1", 4, Some(0))], &["R1:4"], "");
    // The device of a global resource does not matter.
    check_refused(&[("G", 2, Some(5))], &["G:2"], "");
}

#[test]
fn a_resource_has_one_scope() {
    let mut limiter = Limiter::new(vec![]);
    let owner = limiter.enter();
    limiter.join(owner, 0, demand("G:1")).unwrap();
    let of_device = Resource { name: "G".into(), scope: Scope::Device(0) };
    let error = limiter.join(owner, 1, Demand { resources: [(of_device, 1)].into(), priority: 1 }).unwrap_err();
    assert_eq!(
        error.message(),
        "Resource \"G\" is present as both global and device-specific resource in the model configuration."
    );
}

#[test]
fn pools_follow_the_instances_that_are_there() {
    let mut story = Story::new(&["R1:4", "R1:2", "R1:2"]);
    story.check(&[(1, Ask), (2, Ask)], &[1, 2]);
    // Without the largest demand there are two copies, of which four are in use: they come back before one is given.
    story.check(&[(0, Leave)], &[]);
    story.check(&[(1, Executed), (1, Ask)], &[]);
    story.check(&[(2, Executed)], &[1]);
}
