//! The memory budget (`--memory-budget`): what models and requests are charged, and how a load is measured.
//!
//! Invariant: what is charged to models, reserved for loads under way and in flight with requests is together never more
//! than the budget; whatever was charged is given back when its handle is dropped.
//!
//! Beside the budget: huge pages for what libraries allocate during a load.
//!
//! Deliberately absent: what a model is, who makes room, and any knowledge of the memory of devices and other processes.

mod budget;
mod handles;
mod huge_pages;
mod ledger;
mod limits;
mod meter;
mod process;
mod size;
mod texts;
mod turn;

pub use crate::{
    budget::MemoryBudget,
    handles::ModelCharge,
    huge_pages::{HugePages, Mapped},
    ledger::Figures,
    limits::MemoryLimits,
    meter::Warmed,
    process::{ProcFs, ProcessMemory},
};

#[cfg(test)]
mod fake;
#[cfg(test)]
mod simulation;
