//! Who asked for a load, as the history tells it.

/// Where a load comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) requested_by: String,
    /// Files or a configuration came with it.
    pub(crate) is_override: bool,
    /// Nobody asked: the files have changed. What was rolled back is not tried again for that.
    pub(crate) is_poll: bool,
}

// === impl Origin ===

impl Origin {
    /// The server's own start.
    pub(crate) fn start() -> Self {
        Self::by("start")
    }

    /// Files that have changed.
    pub(crate) fn poll() -> Self {
        Self { is_poll: true, ..Self::by("poll") }
    }

    /// The first request for a model that is loaded on demand, or who asked for it by name.
    pub(crate) fn demand() -> Self {
        Self::by("demand")
    }

    /// An ensemble whose members have changed.
    pub(crate) fn relink() -> Self {
        Self::by("relink")
    }

    /// A request to load.
    pub(crate) fn request(requested_by: &str, is_override: bool) -> Self {
        Self { is_override, ..Self::by(if requested_by.is_empty() { "request" } else { requested_by }) }
    }

    fn by(requested_by: &str) -> Self {
        Self { requested_by: requested_by.to_owned(), is_override: false, is_poll: false }
    }
}
