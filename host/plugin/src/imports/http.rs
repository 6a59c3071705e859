//! `wasi:http/outgoing-handler`, and what `http` has in common with it: a guest calls the servers that it was granted.
//!
//! Every request is compared with the grant by itself, so that a redirect leads nowhere else: nobody follows it but the guest, with another
//! request. The addresses that are checked are those that are connected to. One connection per request, HTTP/1.1. Sizes,
//! times and requests under way are limited; the guest's second clock stands while it waits. Why a request was refused is in the log,
//! because WASI's interface has a code for it and no words.

mod body;
mod connect;
mod simple;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{Request, Response, Uri};
use http_body_util::BodyExt;
use nereid_telemetry::Usage;
use tokio::time::timeout_at;
use tracing::Level;
use wasmtime::component::Linker;
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtxView, WasiHttpHooks, WasiHttpView, p2::bindings::http::types::ErrorCode,
};

use self::{body::Metered, connect::Connection};
use crate::{
    guest_log::GuestLog,
    http_grant::{Destination, HttpGrant, InFlight, Reach},
    limits::PluginLimits,
    plugin::PluginSpec,
    state::PluginState,
};

/// A guest's way out.
pub(crate) struct Outbound {
    spec: Arc<PluginSpec>,
    log: GuestLog,
    /// The call under way, for whom requests are made; there is none while the guest is started.
    call: Option<OutboundCall>,
}

/// What a request takes from the call that makes it.
#[derive(Clone)]
struct OutboundCall {
    usage: Arc<Usage>,
    deadline: Instant,
}

/// A request that may be made.
struct Admitted {
    destination: Destination,
    reach: Reach,
    in_flight: InFlight,
    call: OutboundCall,
}

/// A request that may not be made.
struct Refusal {
    why: String,
    error: Error,
}

type Processed = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Result<(Response<WasiBody>, Processed), Error>;

/// Offers it to every guest; those without a grant are refused when they are loaded.
pub(crate) fn add_to_linker(linker: &mut Linker<PluginState>) -> wasmtime::Result<()> {
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)
}

impl WasiHttpView for PluginState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let call = self.outbound_call();
        self.wasi().http(|outbound| outbound.call = call)
    }
}

// === impl PluginState ===

impl PluginState {
    fn outbound_call(&self) -> Option<OutboundCall> {
        self.call
            .serving
            .is_some()
            .then(|| OutboundCall { usage: self.usage_of_caller(), deadline: self.call.clock.deadline() })
    }
}

// === impl Outbound ===

impl Outbound {
    pub(crate) fn new(spec: &Arc<PluginSpec>, log: &GuestLog) -> Self {
        Self { spec: spec.clone(), log: log.clone(), call: None }
    }

    fn grant(&self) -> &HttpGrant {
        &self.spec.grants.http
    }

    fn admit(&self, uri: &Uri) -> Result<Admitted, Refusal> {
        let denied = |why: String| Refusal { why, error: Error::HttpRequestDenied };
        let call = self.call.clone();
        let call = call
            .ok_or_else(|| denied("it was made while the guest was started, before there was a request".to_owned()))?;
        let destination = Destination::of(uri).map_err(denied)?;
        let reach = self.grant().check(&destination).map_err(denied)?;
        let most = self.spec.limits.http_in_flight_max;
        let in_flight = self.grant().begin(most).ok_or_else(|| Refusal {
            why: format!("{most} requests of the plugin are under way, the limit (http_in_flight)"),
            error: Error::ConnectionLimitReached,
        })?;
        call.usage.called_http();
        Ok(Admitted { destination, reach, in_flight, call })
    }

    fn log_refusal(&self, refusal: &Refusal) {
        self.log.write(Level::WARN, &format!("an HTTP request was refused: {}", refusal.why));
    }
}

impl WasiHttpHooks for Outbound {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Processed,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let admitted = self.admit(request.uri()).inspect_err(|refusal| self.log_refusal(refusal));
        let (limits, grant, log) = (self.spec.limits.clone(), self.grant().clone(), self.log.clone());
        Box::new(async move {
            let admitted = admitted.map_err(|refusal| refusal.error)?;
            let destination = admitted.destination.clone();
            let wished = options.and_then(|options| options.connect_timeout);
            let connect = limits.http_connect_max.min(wished.unwrap_or(Duration::MAX));
            let times = Times::of(&limits, connect, limits.http_time_max, admitted.call.deadline);
            let answered = timeout_at(times.until.into(), exchange(request, admitted, (&limits, &grant), &times)).await;
            let answered = answered.unwrap_or(Err(Error::HttpResponseTimeout));
            let response = answered.inspect_err(|error| {
                log.write(Level::WARN, &format!("an HTTP request to {destination} failed: {error}"));
            })?;
            Ok((response, Box::new(async { Ok(()) }) as Processed))
        })
    }

    fn p2_error_from_hyper(&mut self, error: &hyper::Error) -> ErrorCode {
        match body::limit_behind(error) {
            Some(Error::HttpRequestBodySize(limit)) => ErrorCode::HttpRequestBodySize(*limit),
            Some(Error::HttpResponseTimeout) => ErrorCode::HttpResponseTimeout,
            _ => ErrorCode::HttpProtocolError,
        }
    }
}

/// How long a request may take.
struct Times {
    connect: Duration,
    until: Instant,
}

impl Times {
    /// The guest's own wishes count where they are shorter; a call's end is the end of its requests.
    fn of(limits: &PluginLimits, connect: Duration, whole: Duration, deadline: Instant) -> Self {
        Self { connect, until: deadline.min(Instant::now() + whole.min(limits.http_time_max)) }
    }
}

async fn exchange(
    request: Request<WasiBody>,
    admitted: Admitted,
    (limits, grant): (&PluginLimits, &HttpGrant),
    times: &Times,
) -> Result<Response<WasiBody>, Error> {
    let Admitted { destination, reach, in_flight, call } = admitted;
    let connection = connect::connect(&destination, reach, &grant.tls, times.connect).await?;
    let Connection { mut sender, driver } = connection;
    let usage = call.usage.clone();
    let mut request =
        request.map(|body| Metered::sent(body, limits.http_request_bytes_max, usage, times.until).boxed_unsync());
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse().map_err(|_| Error::HttpRequestUriInvalid)?;
    let response = sender.send_request(request).await?;
    let kept = (in_flight, driver);
    Ok(response.map(|body| {
        let body = body.map_err(Error::from);
        Metered::received(body, limits.http_response_bytes_max, call.usage, times.until).keeping(kept).boxed_unsync()
    }))
}
