//! The memory budget that the command line asks for, and its figures on the metrics page.

use std::sync::Arc;

use nereid_memory::{Figures, MemoryBudget, ProcFs};
use nereid_telemetry::{MemoryReading, MemorySource, Telemetry};

use crate::{arguments::ServeArguments, error::ServerError};

/// The budget; `None` when models and requests may take what there is.
///
/// # Errors
/// A limit that means nothing.
pub(crate) fn start(arguments: &ServeArguments, telemetry: &Telemetry) -> Result<Option<MemoryBudget>, ServerError> {
    let Some(bytes) = arguments.models.memory_budget else { return Ok(None) };
    let budget = MemoryBudget::new(bytes.get(), arguments.limits()?.memory, Arc::new(ProcFs::default()));
    tracing::info!("memory budget: {bytes} bytes for models and requests");
    let told = budget.clone();
    telemetry.show_memory(MemorySource(Arc::new(move || reading(told.figures()))));
    Ok(Some(budget))
}

fn reading(figures: Figures) -> MemoryReading {
    MemoryReading {
        budget_bytes: figures.budget_bytes,
        models: figures.models.into_iter().collect(),
        loading_bytes: figures.loading_bytes,
        in_flight_bytes: figures.in_flight_bytes,
        refusals: figures.refusals.to_vec(),
    }
}
