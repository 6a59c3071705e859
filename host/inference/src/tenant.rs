//! On whose account a request goes.

use std::{fmt, sync::Arc};

use crate::{InferError, InferRequest, ResponseStream, ServedModel, SharedTicket, ticket::both};

/// Who is asked before a request of theirs is executed, and to whom its costs are counted.
pub trait Tenant: fmt::Debug + Send + Sync {
    /// The name, for metrics and errors.
    fn name(&self) -> &Arc<str>;

    /// Takes one more request, with so many bytes of inputs, which is under way until the ticket is gone.
    ///
    /// # Errors
    /// `ResourceExhausted`: what was exceeded.
    fn admit(&self, input_bytes: u64) -> Result<SharedTicket, InferError>;
}

/// The figures of one tenant at one time, since the server started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantReading {
    pub tenant: Arc<str>,
    /// Requests that were taken.
    pub admitted: u64,
    /// Bytes of their inputs.
    pub input_bytes: u64,
    pub rejected_for_rate: u64,
    pub rejected_for_concurrency: u64,
    pub under_way: u64,
}

/// A tenant as a request carries it; `None` for clients that are nobody's.
pub type SharedTenant = Option<Arc<dyn Tenant>>;

/// Hands a client's request to the model on its tenant's account. What models ask of each other is not admitted again.
pub fn infer_for(tenant: &SharedTenant, model: &dyn ServedModel, mut request: InferRequest) -> ResponseStream {
    let Some(tenant) = tenant else { return model.infer(request) };
    let input_bytes = request.inputs.iter().map(|input| input.tensor.byte_size() as u64).sum();
    match tenant.admit(input_bytes) {
        Ok(ticket) => {
            request.tenant = Some(tenant.clone());
            let ticket = both(request.ticket.take(), ticket);
            request.ticket = Some(ticket.clone());
            model.infer(request).holding(ticket)
        }
        Err(error) => ResponseStream::ready(Err(error.prefixed(&request.error_prefix()))),
    }
}
