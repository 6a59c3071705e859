//! Random queues of a model: levels, and what each of them allows.

use super::*;

/// How long a request may wait: as long as the model says, or less if it asks for that and may.
pub(super) fn allowed_wait(policy: &QueuePolicy, asked: Option<Duration>) -> Option<Duration> {
    let asked = asked.filter(|asked| policy.allow_timeout_override && *asked > Duration::ZERO);
    [policy.timeout, asked].into_iter().flatten().min()
}

fn queue_policy(random: &mut Random) -> QueuePolicy {
    QueuePolicy {
        requests_max: 1 + random.below(40) as usize,
        timeout: random.chance(50).then(|| MICROSECOND * (1 + random.below(2_000)) as u32),
        allow_timeout_override: random.chance(50),
        expiry_action: if random.chance(70) { ExpiryAction::Reject } else { ExpiryAction::Delay },
    }
}

pub(super) fn queue_settings(random: &mut Random) -> QueueSettings {
    let default = queue_policy(random);
    let levels = 1 + random.below(4);
    let policies = (1..=levels).filter(|_| random.chance(50)).collect::<Vec<_>>();
    let policies = policies.into_iter().map(|level| (level, queue_policy(random))).collect();
    let priorities = PrioritySettings { levels, default_level: 1 + random.below(levels), policies };
    QueueSettings { default, priorities: random.chance(50).then_some(priorities) }
}
