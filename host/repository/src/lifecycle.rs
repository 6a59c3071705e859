//! The life of one model version, as a state machine.
//!
//! ```text
//!                begins to load          loaded
//!  Unavailable ───────────────> Loading ────────> Ready <──────────┐ loaded, or failed:
//!       ^  ^                       │                │ ^            │ the old generation stays
//!       │  └───────────────────────┘                │ └─ Reloading ┘
//!       │          failed             begins to     │     ^ begins to load
//!       └──────────────── Unloading <───────────────┴─────┘
//!           drained                     unload
//! ```

use nereid_inference::ModelState;

/// The reason of a version that was unloaded on purpose: readiness does not wait for it.
pub(crate) const UNLOADED: &str = "unloaded";

/// Where a version is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum VersionState {
    /// Being loaded for the first time, or again after it was gone.
    Loading,
    Ready,
    /// Being loaded while the old generation answers.
    Reloading,
    /// Not given new requests; those under way finish.
    Unloading,
    Unavailable {
        reason: String,
    },
}

/// What happens to a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    LoadBegins,
    LoadSucceeds,
    LoadFails(String),
    UnloadBegins,
    /// The last request of the last generation is answered.
    Drained,
    /// An ensemble lost a model that it is made of.
    MemberGone(String),
}

// === impl VersionState ===

impl VersionState {
    /// A version that was never touched.
    pub(crate) fn new() -> Self {
        Self::Unavailable { reason: String::new() }
    }

    /// The state after `event`. An event that means nothing in this state changes nothing.
    #[must_use]
    pub(crate) fn after(self, event: Event) -> Self {
        match (self, event) {
            // A generation answers already: it goes on.
            (Self::Ready | Self::Reloading, Event::LoadBegins) => Self::Reloading,
            (Self::Loading | Self::Unloading | Self::Unavailable { .. }, Event::LoadBegins) => Self::Loading,
            // The new generation takes over.
            (Self::Loading | Self::Reloading, Event::LoadSucceeds) => Self::Ready,
            // Nobody answered before, and nobody does now.
            (Self::Loading, Event::LoadFails(reason)) => Self::Unavailable { reason },
            // The old generation stays.
            (Self::Reloading, Event::LoadFails(_)) => Self::Ready,
            (Self::Ready | Self::Reloading, Event::UnloadBegins) => Self::Unloading,
            // Nothing answered, so there is nothing to wait for.
            (Self::Loading | Self::Unavailable { .. }, Event::UnloadBegins) | (Self::Unloading, Event::Drained) => {
                Self::Unavailable { reason: UNLOADED.to_owned() }
            }
            // Its own generation is sound, and of no use.
            (Self::Ready | Self::Reloading, Event::MemberGone(reason)) => Self::Unavailable { reason },
            (
                state,
                Event::LoadSucceeds | Event::LoadFails(_) | Event::UnloadBegins | Event::Drained | Event::MemberGone(_),
            ) => state,
        }
    }

    /// The state in the index's words.
    pub(crate) fn shown(&self) -> ModelState {
        match self {
            Self::Loading => ModelState::Loading,
            Self::Ready | Self::Reloading => ModelState::Ready,
            Self::Unloading => ModelState::Unloading,
            Self::Unavailable { .. } => ModelState::Unavailable,
        }
    }

    /// Why it is in this state; empty when there is nothing to say.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Unavailable { reason } => reason,
            _ => "",
        }
    }

    /// Whether strict readiness is content with it.
    pub(crate) fn is_as_wanted(&self) -> bool {
        matches!(self, Self::Ready | Self::Reloading) || self.is_unloaded()
    }

    /// Whether it is gone on purpose.
    pub(crate) fn is_unloaded(&self) -> bool {
        matches!(self, Self::Unavailable { reason } if reason == UNLOADED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Event::{Drained, LoadBegins, LoadSucceeds, UnloadBegins};

    fn fails() -> Event {
        Event::LoadFails("no".to_owned())
    }

    fn check(events: &[Event], state: ModelState, reason: &str) {
        let end = events.iter().cloned().fold(VersionState::new(), VersionState::after);
        assert_eq!((end.shown(), end.reason()), (state, reason), "{events:?}");
    }

    #[test]
    fn a_version_is_loaded_served_drained_and_gone() {
        check(&[LoadBegins], ModelState::Loading, "");
        check(&[LoadBegins, LoadSucceeds], ModelState::Ready, "");
        check(&[LoadBegins, LoadSucceeds, UnloadBegins], ModelState::Unloading, "");
        check(&[LoadBegins, LoadSucceeds, UnloadBegins, Drained], ModelState::Unavailable, "unloaded");
        check(&[LoadBegins, LoadSucceeds, UnloadBegins, Drained, LoadBegins], ModelState::Loading, "");
    }

    #[test]
    fn a_failed_load_leaves_its_reason() {
        check(&[LoadBegins, fails()], ModelState::Unavailable, "no");
        check(&[LoadBegins, fails(), UnloadBegins], ModelState::Unavailable, "unloaded");
    }

    #[test]
    fn a_reload_stays_ready_whatever_comes_of_it() {
        check(&[LoadBegins, LoadSucceeds, LoadBegins], ModelState::Ready, "");
        check(&[LoadBegins, LoadSucceeds, LoadBegins, fails()], ModelState::Ready, "");
        check(&[LoadBegins, LoadSucceeds, LoadBegins, LoadSucceeds], ModelState::Ready, "");
    }

    #[test]
    fn an_ensemble_without_its_member_says_so_and_can_come_back() {
        let gone = Event::MemberGone("no member".to_owned());
        check(&[LoadBegins, LoadSucceeds, gone.clone()], ModelState::Unavailable, "no member");
        check(&[LoadBegins, LoadSucceeds, gone, LoadBegins, LoadSucceeds], ModelState::Ready, "");
    }

    #[test]
    fn a_version_loaded_again_while_it_drains_is_not_unloaded_by_the_old_generation() {
        check(&[LoadBegins, LoadSucceeds, UnloadBegins, LoadBegins, Drained], ModelState::Loading, "");
        check(&[LoadBegins, LoadSucceeds, UnloadBegins, LoadBegins, LoadSucceeds, Drained], ModelState::Ready, "");
    }
}
