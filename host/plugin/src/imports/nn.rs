//! `wasi:nn`: inference code that was written for any host of that interface calls the models that the plugin was granted.
//!
//! A graph is a name: `NAME`, or `NAME:VERSION`. It is looked up where a call loads it, so that a guest hears of a mistake early,
//! and again at every computation, which thus goes to whatever generation serves then. Graphs and contexts hold nothing of a model, and
//! outlive the call as a program expects that loads its graph once; tensors and errors end with it. A computation is a call of
//! another model like those of `inference`, with the same grants, limits and counts, and no thread waits for it. Models are never
//! made from bytes of a guest's: they would be in nobody's repository, under nobody's limits.

mod bindings;
mod errors;
mod names;
mod tensors;

use std::sync::Arc;

use nereid_inference::{InferError, InferResponse, NamedTensor as Output};
use tracing::Level;
use wasmtime::component::{HasSelf, Linker, Resource};

use self::{
    bindings::{
        Ml,
        wasi::nn::{
            graph::{ExecutionTarget, GraphBuilder, GraphEncoding, Host, HostGraph},
            inference::{self, HostGraphExecutionContext, NamedTensor},
        },
    },
    errors::NnError,
};
use crate::{
    account::Charge,
    failure::Stop,
    handles::Arena,
    imports::inference::{PendingCall, PreparedCall},
    state::PluginState,
    tensor_handle::TensorHandle,
};

/// What is said to who brings a model as bytes.
const BYTES_REFUSED: &str = "a model cannot be loaded from bytes: bring it into the server's repository, list it under \
                             [grants] models in plugin.toml, and use load-by-name";

/// A model as the guest named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    model: String,
    version: Option<u64>,
}

#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Graph(Named);

#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct ExecutionContext(Named);

/// The guest's handles of this interface but tensors, which are among those of the contract.
pub(crate) struct NnHandles {
    graphs: Arena<Graph>,
    contexts: Arena<ExecutionContext>,
    errors: Arena<NnError>,
}

/// A computation under way, and the model's outputs in the order of its configuration.
struct Computation {
    pending: PendingCall,
    outputs: Vec<Arc<str>>,
}

type Failure = Resource<NnError>;

/// Offers the interface to every guest.
pub(crate) fn add_to_linker(linker: &mut Linker<PluginState>) -> wasmtime::Result<()> {
    Ml::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    tensors::add_bulk_to_linker(linker)
}

// === impl Named ===

impl Named {
    /// The colons of `NAMESPACE::NAME` stand before no version.
    fn parse(text: &str) -> Self {
        let parts = text.rsplit_once(':').filter(|(model, _)| !model.is_empty() && !model.ends_with(':'));
        let versioned = parts.and_then(|(model, version)| Some((model, version.parse().ok()?)));
        match versioned {
            Some((model, version)) => Self { model: model.to_owned(), version: Some(version) },
            None => Self { model: text.to_owned(), version: None },
        }
    }
}

// === impl NnHandles ===

impl NnHandles {
    pub(crate) fn new() -> Self {
        Self { graphs: Arena::new(), contexts: Arena::new(), errors: Arena::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.graphs.len() + self.contexts.len() + self.errors.len()
    }

    /// Drops what ends with a call, and says how many handles that were.
    pub(crate) fn end_call(&mut self) -> usize {
        let open = self.errors.len();
        self.errors.clear();
        open
    }
}

// === impl PluginState ===

impl PluginState {
    fn find_graph(&self, name: &str) -> Result<Graph, InferError> {
        let named = Named::parse(name);
        self.spec.grants.models.check("call", "models", &named.model)?;
        // A guest may be started before the models that it will call.
        if self.call.serving.is_some() {
            self.spec.service.get()?.model(&named.model, named.version)?;
        }
        self.check_handles()?;
        Ok(Graph(named))
    }

    /// Asks the model. The outer error costs the guest.
    fn start_computation(
        &mut self,
        named: Named,
        inputs: Vec<Output>,
        charges: Vec<Arc<Charge>>,
    ) -> wasmtime::Result<Result<Computation, InferError>> {
        let serving = self.serving()?;
        let started = self.admit_call(&serving, &named.model).and_then(|callers| {
            let model = self.find_called(&named.model, named.version)?;
            let signature = model.signature();
            tensors::check_outputs(signature)?;
            let inputs = names::assign(signature, inputs)?;
            let outputs = signature.outputs.iter().map(|output| output.name.clone()).collect();
            let request = serving.child(inputs, callers);
            let prepared = PreparedCall { model, name: named.model, request, charges, give_up: None };
            Ok(Computation { pending: self.begin_call(prepared), outputs })
        });
        Ok(started)
    }

    /// Waits for the only answer, and gives its tensors to the guest.
    async fn finish(&mut self, computation: Computation) -> wasmtime::Result<Result<Vec<NamedTensor>, InferError>> {
        let Computation { pending, outputs } = computation;
        let response = pending.receive_only(&self.patience()).await?;
        Ok(response.and_then(|response| self.hand_over_in_order(response, &outputs)))
    }

    fn hand_over_in_order(
        &mut self,
        mut response: InferResponse,
        order: &[Arc<str>],
    ) -> Result<Vec<NamedTensor>, InferError> {
        response.outputs.sort_by_key(|output| order.iter().position(|name| *name == output.name));
        let mut given = Vec::with_capacity(response.outputs.len());
        for output in response.outputs {
            tensors::check_output(&output.name, &output.tensor)?;
            let received = TensorHandle::received(output.tensor, &self.call.account);
            given.push((output.name.to_string(), self.keep(received)?));
        }
        Ok(given)
    }
}

impl Host for PluginState {
    fn load(
        &mut self,
        _: Vec<GraphBuilder>,
        _: GraphEncoding,
        _: ExecutionTarget,
    ) -> wasmtime::Result<Result<Resource<Graph>, Failure>> {
        self.enter("nn.load")?;
        self.log.write(Level::WARN, &format!("wasi:nn: {BYTES_REFUSED}"));
        self.nn_failure(InferError::unsupported(BYTES_REFUSED)).map(Err)
    }

    fn load_by_name(&mut self, name: String) -> wasmtime::Result<Result<Resource<Graph>, Failure>> {
        self.enter("nn.load-by-name")?;
        match self.find_graph(&name) {
            Ok(graph) => Ok(Ok(Resource::new_own(self.nn.graphs.insert(graph)))),
            Err(error) => self.nn_failure(error).map(Err),
        }
    }
}

impl HostGraph for PluginState {
    fn init_execution_context(
        &mut self,
        graph: Resource<Graph>,
    ) -> wasmtime::Result<Result<Resource<ExecutionContext>, Failure>> {
        self.enter("nn.init-execution-context")?;
        let Graph(named) = self.nn.graphs.get(graph.rep()).ok_or(Stop::StaleHandle("graph"))?;
        let context = ExecutionContext(named.clone());
        match self.check_handles() {
            Ok(()) => Ok(Ok(Resource::new_own(self.nn.contexts.insert(context)))),
            Err(error) => self.nn_failure(error).map(Err),
        }
    }

    fn drop(&mut self, graph: Resource<Graph>) -> wasmtime::Result<()> {
        self.nn.graphs.remove(graph.rep());
        Ok(())
    }
}

impl inference::Host for PluginState {}

impl HostGraphExecutionContext for PluginState {
    async fn compute(
        &mut self,
        context: Resource<ExecutionContext>,
        inputs: Vec<NamedTensor>,
    ) -> wasmtime::Result<Result<Vec<NamedTensor>, Failure>> {
        self.enter("nn.compute")?;
        let ExecutionContext(named) =
            self.nn.contexts.get(context.rep()).ok_or(Stop::StaleHandle("graph-execution-context"))?;
        let named = named.clone();
        let started = match self.take_nn_inputs(inputs)? {
            Ok((inputs, charges)) => self.start_computation(named, inputs, charges)?,
            Err(error) => Err(error),
        };
        let computed = match started {
            Ok(computation) => self.finish(computation).await?,
            Err(error) => Err(error),
        };
        match computed {
            Ok(outputs) => Ok(Ok(outputs)),
            Err(error) => self.nn_failure(error).map(Err),
        }
    }

    fn drop(&mut self, context: Resource<ExecutionContext>) -> wasmtime::Result<()> {
        self.nn.contexts.remove(context.rep());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_behind_a_colon_is_a_version() {
        for (text, model, version) in [
            ("digits", "digits", None),
            ("digits:3", "digits", Some(3)),
            ("a::digits", "a::digits", None),
            ("a::digits:3", "a::digits", Some(3)),
            ("a::3", "a::3", None),
            ("digits:latest", "digits:latest", None),
            ("digits:", "digits:", None),
            (":3", ":3", None),
            ("", "", None),
        ] {
            assert_eq!(Named::parse(text), Named { model: model.to_owned(), version }, "{text}");
        }
    }
}
