//! WASI 0.2, for the runtimes of languages that cannot do without: everything is linked, and nothing is there that was not
//! granted.
//!
//! Folders and variables are those of the plugin's [`Grants`], none by default. There are no arguments and no standard input;
//! sockets are refused where they would be made, names where they would be looked up. Clocks stand still while the guest
//! computes unless they are granted; random numbers are random unless they begin with a seed. What is written to standard
//! output and standard error becomes lines of the log, within the budget of the call. Whoever waits (`sleep`) waits no longer
//! than the call's deadline. A guest that uses none of this pays for none of it: its context is made at the first use.

use std::sync::Arc;

use bytes::Bytes;
use rand::{SeedableRng, rngs::StdRng};
use tokio::{io::AsyncWrite, time::timeout_at};
use wasmtime::component::{HasSelf, Linker, Resource, ResourceTable};
use wasmtime_wasi::{
    FsPerms, WasiCtx, WasiCtxView, WasiView, async_trait,
    cli::{IsTerminal, StdoutStream},
    p2::{self, DynPollable, OutputStream, Pollable, StreamResult},
};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView};
use wasmtime_wasi_io::bindings::wasi::io::poll;

use crate::{
    failure::Stop,
    guest_clock::GuestClock,
    guest_log::{GuestLog, Stream},
    imports::http::Outbound,
    plugin::PluginSpec,
    state::PluginState,
};

/// What a guest may hold open of WASI: streams, and clocks that it waits for. Runtimes need three and some.
const WASI_HANDLES_MAX: usize = 1024;

/// What a guest may write or be told at once: a stream's bytes, random bytes.
const PIECE_BYTES_MAX: usize = 64 << 10;

/// A guest's view of the system: what it was granted.
pub(crate) struct Wasi {
    context: WasiCtx,
    table: ResourceTable,
    http: WasiHttpCtx,
    outbound: Outbound,
}

/// A standard stream that ends in the log.
#[derive(Clone)]
struct LogStream {
    log: GuestLog,
    stream: Stream,
}

/// Offers WASI to every guest.
pub(crate) fn add_to_linker(linker: &mut Linker<PluginState>) -> wasmtime::Result<()> {
    p2::add_to_linker_async(linker)?;
    linker.allow_shadowing(true);
    poll::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
}

// === impl Wasi ===

impl Wasi {
    pub(crate) fn new(log: &GuestLog, spec: &Arc<PluginSpec>, clock: &GuestClock) -> Self {
        let grants = &spec.grants;
        let stream = |stream| LogStream { log: log.clone(), stream };
        let mut builder = WasiCtx::builder();
        builder
            .stdout(stream(Stream::Output))
            .stderr(stream(Stream::Error))
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(PIECE_BYTES_MAX as u64)
            .wall_clock(clock.clone())
            .monotonic_clock(clock.clone());
        for (name, value) in &grants.environment {
            builder.env(name, value);
        }
        if let Some(seed) = grants.random_seed {
            builder
                .secure_random(StdRng::seed_from_u64(seed))
                .insecure_random(StdRng::seed_from_u64(seed))
                .insecure_random_seed(seed.into());
        }
        for folder in &grants.folders {
            let rights = if folder.is_writable { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
            if let Err(error) = builder.preopened_dir(&folder.host_path, &folder.guest_path, rights) {
                // It was there when the plugin was loaded; the guest finds no such folder.
                tracing::warn!("the folder '{}' of a plugin cannot be opened: {error:#}", folder.host_path.display());
            }
        }
        let mut table = ResourceTable::new();
        table.set_max_capacity(WASI_HANDLES_MAX);
        Self { context: builder.build(), table, http: WasiHttpCtx::new(), outbound: Outbound::new(spec, log) }
    }

    /// What requests to other servers are made with, after the call under way is told to it.
    pub(crate) fn http(&mut self, tell: impl FnOnce(&mut Outbound)) -> WasiHttpCtxView<'_> {
        tell(&mut self.outbound);
        WasiHttpCtxView { hooks: &mut self.outbound, table: &mut self.table, ctx: &mut self.http }
    }
}

// === impl PluginState ===

impl WasiView for PluginState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.note_import("wasi");
        let Wasi { context, table, .. } = self.wasi();
        WasiCtxView { ctx: context, table }
    }
}

impl PluginState {
    /// Waits no longer than the call may take; not at all while there is no call, because nobody watches the time then.
    async fn wait_for<T>(
        &mut self,
        wait: impl AsyncFnOnce(&mut ResourceTable) -> wasmtime::Result<T>,
    ) -> wasmtime::Result<T>
    where
        T: Send,
    {
        self.enter("wasi.poll")?;
        if self.call.serving.is_none() {
            return Err(Stop::WaitedWhileStarting.into());
        }
        let deadline = self.call.clock.deadline();
        let waited = timeout_at(deadline.into(), wait(&mut self.wasi().table)).await;
        self.time.move_on();
        waited.unwrap_or_else(|_| Err(Stop::WallTime(self.call.time).into()))
    }
}

impl poll::Host for PluginState {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        self.wait_for(async |table| poll::Host::poll(table, pollables).await).await
    }
}

impl poll::HostPollable for PluginState {
    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        self.wait_for(async |table| poll::HostPollable::ready(table, pollable).await).await
    }

    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.wait_for(async |table| poll::HostPollable::block(table, pollable).await).await
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        poll::HostPollable::drop(&mut self.wasi().table, pollable)
    }
}

// === impl LogStream ===

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    /// Of WASI 0.3, which is not linked.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for LogStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.log.write_stream(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PIECE_BYTES_MAX)
    }
}

#[async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {}
}
