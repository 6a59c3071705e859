//! What must outlive a request: a count of what is under way, a share of a budget.

use std::{fmt, sync::Arc};

/// Held by a request and by the stream of its responses; dropped when both are gone: nothing executes the request any
/// more, and nobody reads its answers. A request without one carries `None`.
pub trait Ticket: fmt::Debug + Send + Sync {}

/// One ticket, shared by the request and its stream.
pub type SharedTicket = Arc<dyn Ticket>;

/// Two tickets as one.
#[derive(Debug)]
struct BothTickets {
    _tickets: [SharedTicket; 2],
}

/// One that keeps both.
pub(crate) fn both(earlier: Option<SharedTicket>, ticket: SharedTicket) -> SharedTicket {
    match earlier {
        None => ticket,
        Some(earlier) => Arc::new(BothTickets { _tickets: [earlier, ticket] }),
    }
}

impl Ticket for BothTickets {}
