//! What happens around the moment in which one generation of a model takes another's place: the new one is watched for a while,
//! with the old one warm behind it; sequences stay where they began; and who changed what is remembered.

mod guard;
mod history;
mod keeper;
mod line;
mod origin;
mod rollback;

pub(crate) use self::{
    guard::{SwapGuard, Verdict},
    history::History,
    line::Line,
    origin::Origin,
};
