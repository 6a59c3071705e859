//! `serving.sender`: responses of one request, as many as its model may give, whenever the guest has them.

use wasmtime::component::Resource;

use crate::{
    bindings::nereid::plugin::{
        serving::{HostSender, Response},
        types::Error,
    },
    convert,
    failure::Stop,
    handles::Arena,
    sender::SenderHandle,
    state::PluginState,
};

type Handle = Resource<SenderHandle>;

// === impl PluginState ===

impl PluginState {
    fn sender(&mut self, import: &'static str, handle: &Handle) -> wasmtime::Result<&SenderHandle> {
        self.enter(import)?;
        self.senders.get(handle.rep()).ok_or_else(|| Stop::StaleHandle("sender").into())
    }
}

impl HostSender for PluginState {
    async fn send(&mut self, handle: Handle, response: Response, last: bool) -> wasmtime::Result<Result<(), Error>> {
        self.enter("serving.sender.send")?;
        let response = match self.take_response(response)? {
            Ok(response) => response,
            Err(error) => return Ok(Err(convert::error(error))),
        };
        // Taken out while it is waited for: nothing else runs in this store meanwhile.
        let senders = std::mem::replace(&mut self.senders, Arena::new());
        let sent = match senders.get(handle.rep()) {
            Some(sender) => self.within_deadline(sender.slot().send_next(response, last)).await,
            None => Err(Stop::StaleHandle("sender")),
        };
        self.senders = senders;
        Ok(sent?.map_err(convert::error))
    }

    fn fail(&mut self, handle: Handle, error: Error) -> wasmtime::Result<()> {
        let subject = self.spec.subject();
        let error = convert::infer_error(error).prefixed(&format!("{subject}: "));
        self.sender("serving.sender.fail", &handle)?.slot().fail(error);
        Ok(())
    }

    fn finish(&mut self, handle: Handle) -> wasmtime::Result<()> {
        self.sender("serving.sender.finish", &handle)?.finish();
        Ok(())
    }

    fn cancelled(&mut self, handle: Handle) -> wasmtime::Result<bool> {
        Ok(self.sender("serving.sender.cancelled", &handle)?.slot().is_over())
    }

    fn drop(&mut self, handle: Handle) -> wasmtime::Result<()> {
        self.senders.remove(handle.rep());
        Ok(())
    }
}
