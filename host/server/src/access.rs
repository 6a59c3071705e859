//! What each service asks of its clients, put together from the flags, and the task that follows the files behind it.

use std::{io, sync::Arc, time::Duration};

use nereid_access::{KeyFile, Look, Policy, Reload, Surface, Tls, TlsFiles};
use nereid_telemetry::Telemetry;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use crate::{arguments::AccessArguments, error::ServerError, operator_rules::OperatorRules};

/// Time between two looks at the files of settings, keys and certificates: soon enough for a person who waits, and no load.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// What one service asks for.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) policy: Policy,
    pub(crate) tls: Option<Tls>,
}

/// The doors of all services.
pub(crate) struct Access {
    pub(crate) http: Door,
    pub(crate) grpc: Door,
    pub(crate) metrics: Door,
    followed: Vec<Arc<dyn Reload>>,
}

// === impl Access ===

impl Access {
    /// Reads keys, which may be of the operator's tenants, and certificates; all of it is followed, the operator's file first.
    ///
    /// # Errors
    /// One of the files cannot be used.
    pub(crate) fn assemble(arguments: &AccessArguments, operator: &OperatorRules) -> Result<Self, ServerError> {
        let key_file = arguments
            .api_key_file
            .as_deref()
            .map(|path| KeyFile::load(path, &operator.tenants))
            .transpose()?
            .map(Arc::new);
        let http_tls = arguments.http_tls()?.map(|files| load(files, &["h2", "http/1.1"])).transpose()?;
        let grpc_tls = arguments.grpc_tls()?.map(|files| load(files, &["h2"])).transpose()?;
        let policy = |surface| {
            let restrictions = arguments.restrictions(surface)?;
            Ok::<_, ServerError>(Policy::new(restrictions, key_file.clone()))
        };
        let (http, grpc) = (policy(Surface::Http)?, policy(Surface::Grpc)?);
        let mut followed: Vec<Arc<dyn Reload>> = operator.file.iter().cloned().collect();
        followed.extend(key_file.clone().map(|file| file as Arc<dyn Reload>));
        followed
            .extend([&http_tls, &grpc_tls].into_iter().flatten().map(|tls| Arc::new(tls.clone()) as Arc<dyn Reload>));
        let metrics_tls = http_tls.clone().filter(|_| arguments.metrics_use_ssl);
        Ok(Self {
            metrics: Door { policy: http.clone(), tls: metrics_tls },
            http: Door { policy: http, tls: http_tls },
            grpc: Door { policy: grpc, tls: grpc_tls },
            followed,
        })
    }

    /// Follows the files from now on, in a task of its own that ends with the runtime. SIGHUP reads them at once.
    /// Needs the runtime.
    ///
    /// # Errors
    /// The system refuses to install a handler.
    pub(crate) fn follow(&self, telemetry: &Arc<Telemetry>) -> io::Result<()> {
        let followed = self.followed.clone();
        if !followed.is_empty() {
            followed.iter().for_each(|one| telemetry.files().in_force(&one.path().to_string_lossy()));
            tokio::spawn(follow(followed, signal(SignalKind::hangup())?, telemetry.clone()));
        }
        Ok(())
    }
}

fn load(files: TlsFiles, protocols: &[&str]) -> Result<Tls, ServerError> {
    Ok(Tls::load(files, protocols)?)
}

async fn follow(followed: Vec<Arc<dyn Reload>>, mut hangups: Signal, telemetry: Arc<Telemetry>) {
    let mut ticks = interval(LOOK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let mut forced = tokio::select! {
            _ = ticks.tick() => false,
            _ = hangups.recv() => true,
        };
        for one in &followed {
            let (looked_at, telemetry) = (one.clone(), telemetry.clone());
            match spawn_blocking(move || look(&*looked_at, forced, &telemetry)).await {
                // What is read later may depend on it: a key's tenant must be known.
                Ok(is_renewed) => forced |= is_renewed,
                Err(error) => tracing::error!("looking at {} failed: {error}", one.name()),
            }
        }
    }
}

/// Whether there is a new content.
fn look(followed: &dyn Reload, forced: bool, telemetry: &Telemetry) -> bool {
    let (name, path) = (followed.name(), followed.path().to_string_lossy());
    let look = followed.look(forced);
    match &look {
        Look::Unchanged => {}
        Look::Renewed => {
            telemetry.files().in_force(&path);
            tracing::info!("read again: {name}");
        }
        Look::Refused(reason) => {
            telemetry.files().refused(&path);
            tracing::error!("{name}: the change cannot be used, nothing has changed: {reason}");
        }
    }
    look == Look::Renewed
}
