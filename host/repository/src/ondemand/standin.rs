//! What clients see of a model whether or not it is loaded, and the door that its requests go through.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock, Weak},
    time::Instant,
};

use nereid_inference::{
    DecisionLog, InferError, InferRequest, ModelConfig, ModelIdentity, ModelStatistics, ResponseStream, ServedModel,
    SharedTicket, Signature, Ticket, response_channel,
};

use crate::ondemand::{OnDemand, catalogue::id_of, desk::Waiter, policy::Slot};

/// Label texts by output.
type Labels = HashMap<String, Vec<Arc<str>>>;

/// One version of a model.
pub(super) struct Standin {
    door: Arc<Door>,
    config: ModelConfig,
    signature: Signature,
}

/// The way to one version, for a request that may have to wait.
pub(super) struct Door {
    service: Weak<OnDemand>,
    slot: Slot,
    /// Under which the repository finds the model.
    title: Arc<str>,
    identity: ModelIdentity,
    /// Known once the model was loaded, before its first response.
    labels: OnceLock<Labels>,
}

/// A request under way: its model is not unloaded to make room.
struct InUse {
    service: Weak<OnDemand>,
    slot: Slot,
    /// The ticket that the request came with.
    _outer: Option<SharedTicket>,
}

// === impl Standin ===

impl Standin {
    /// Of a model that was never loaded.
    ///
    /// # Errors
    /// The configuration is not complete.
    pub(super) fn of_config(
        service: &Weak<OnDemand>,
        slot: Slot,
        identity: ModelIdentity,
        config: &ModelConfig,
    ) -> Result<Arc<Self>, InferError> {
        let signature = Signature::from_config(config)?;
        let door = Door::new(service, slot, identity, OnceLock::new());
        Ok(Arc::new(Self { door, config: config.clone(), signature }))
    }

    /// Of a model that is loaded.
    pub(super) fn of_model(service: &Weak<OnDemand>, slot: Slot, model: &dyn ServedModel) -> Arc<Self> {
        let door = Door::new(service, slot, model.identity().clone(), OnceLock::from(labels_of(model)));
        Arc::new(Self { door, config: model.config().clone(), signature: model.signature().clone() })
    }
}

impl ServedModel for Standin {
    fn identity(&self) -> &ModelIdentity {
        &self.door.identity
    }

    fn config(&self) -> &ModelConfig {
        &self.config
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn labels(&self, output: &str) -> &[Arc<str>] {
        let labels = self.door.labels().and_then(|labels| labels.get(output));
        labels.map(Vec::as_slice).unwrap_or_default()
    }

    fn infer(&self, request: InferRequest) -> ResponseStream {
        let door = &self.door;
        let Some(service) = door.service.upgrade() else {
            return ResponseStream::ready(Err(InferError::unavailable("Server exiting")));
        };
        if service.enter(door.slot) {
            return door.serve(&service, request);
        }
        let (sender, stream) = response_channel();
        let waiter = Waiter::Request { door: door.clone(), request: Box::new(request), sender };
        service.wait(Instant::now(), door.slot, waiter);
        stream
    }

    fn decisions(&self) -> DecisionLog {
        let door = &self.door;
        let served = door.service.upgrade().and_then(|service| door.model(&service).ok());
        served.map(|model| model.decisions()).unwrap_or_default()
    }

    /// Of the loaded generation: an ensemble asks for it while it is loaded, and holds its members then.
    fn fingerprint(&self) -> Option<[u8; 32]> {
        let door = &self.door;
        door.model(&*door.service.upgrade()?).ok()?.fingerprint()
    }

    /// Of one that is not loaded there is nothing to say against it.
    fn readiness(&self) -> Result<(), InferError> {
        let door = &self.door;
        let served = door.service.upgrade().and_then(|service| door.model(&service).ok());
        served.map_or(Ok(()), |model| model.readiness())
    }

    /// Nothing, for a model that is not loaded: what was counted went with it.
    fn statistics(&self) -> ModelStatistics {
        let door = &self.door;
        let served = door.service.upgrade().and_then(|service| door.model(&service).ok());
        served.map_or_else(|| ModelStatistics::new(door.identity.clone()), |model| model.statistics())
    }
}

fn labels_of(model: &dyn ServedModel) -> Labels {
    let outputs = model.config().outputs.iter().map(|output| &output.name);
    let labels = outputs.map(|output| (output.clone(), model.labels(output).to_vec()));
    labels.filter(|(_, labels)| !labels.is_empty()).collect()
}

// === impl Door ===

impl Door {
    fn new(service: &Weak<OnDemand>, slot: Slot, identity: ModelIdentity, labels: OnceLock<Labels>) -> Arc<Self> {
        let title = id_of(&identity).to_string().into();
        Arc::new(Self { service: service.clone(), slot, title, identity, labels })
    }

    /// Hands a request to the model, which must be loaded and have been entered.
    pub(super) fn serve(&self, service: &OnDemand, request: InferRequest) -> ResponseStream {
        let outer = request.ticket.clone();
        let ticket: SharedTicket = Arc::new(InUse { service: self.service.clone(), slot: self.slot, _outer: outer });
        match self.model(service) {
            Ok(model) => {
                self.labels.get_or_init(|| labels_of(&*model));
                let request = InferRequest { ticket: Some(ticket.clone()), ..request };
                model.infer(request).holding(ticket)
            }
            Err(error) => ResponseStream::ready(Err(error)),
        }
    }

    /// Those of the model that is loaded now, when none was loaded before.
    fn labels(&self) -> Option<&Labels> {
        if self.labels.get().is_none()
            && let Some(service) = self.service.upgrade()
            && let Ok(model) = self.model(&service)
        {
            self.labels.get_or_init(|| labels_of(&*model));
        }
        self.labels.get()
    }

    fn model(&self, service: &OnDemand) -> Result<Arc<dyn ServedModel>, InferError> {
        service.served(&self.title, self.identity.version)
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Door({})", self.title)
    }
}

// === impl InUse ===

impl Ticket for InUse {}

impl Drop for InUse {
    fn drop(&mut self) {
        if let Some(service) = self.service.upgrade() {
            service.done(self.slot);
        }
    }
}

impl fmt::Debug for InUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InUse({})", self.slot)
    }
}
