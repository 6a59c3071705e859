//! What the budget's own book may take, and how long a load waits to be measured.

use std::time::Duration;

nereid_inference::limits! {
    /// Limits of the memory budget.
    pub struct MemoryLimits {
        /// About 150 bytes each; the least recently loaded is forgotten first, and its next load estimated by its files.
        learned_max: Count = 10_000,
            "memory-learned", "model versions of which it is known what their last load took, with `--memory-budget`";
        /// A plugin whose warm-up waits for another model to be loaded is measured meanwhile: its turn must not be waited for
        /// longer than it waits itself.
        turn_wait_max: Time = Duration::from_secs(10),
            "memory-turn", "time that a load waits to be measured alone, with `--memory-budget`; then it is charged by its estimate";
    }
}
