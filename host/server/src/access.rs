//! What each service asks of its clients, put together from the flags, and the task that follows the files behind it.

use std::{io, sync::Arc, time::Duration};

use nereid_access::{KeyFile, Look, Policy, Reload, Surface, Tls, TlsFiles};
use nereid_tenants::Tenants;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use crate::{arguments::AccessArguments, error::ServerError};

/// Time between two looks at the files of keys and certificates: soon enough for a person who waits, and no load.
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
    /// Reads keys, which may be of these tenants, and certificates.
    ///
    /// # Errors
    /// One of the files cannot be used.
    pub(crate) fn assemble(arguments: &AccessArguments, tenants: &Tenants) -> Result<Self, ServerError> {
        let key_file =
            arguments.api_key_file.as_deref().map(|path| KeyFile::load(path, tenants)).transpose()?.map(Arc::new);
        let http_tls = arguments.http_tls()?.map(|files| load(files, &["h2", "http/1.1"])).transpose()?;
        let grpc_tls = arguments.grpc_tls()?.map(|files| load(files, &["h2"])).transpose()?;
        let policy = |surface| {
            let restrictions = arguments.restrictions(surface)?;
            Ok::<_, ServerError>(Policy::new(restrictions, key_file.clone()))
        };
        let (http, grpc) = (policy(Surface::Http)?, policy(Surface::Grpc)?);
        let mut followed: Vec<Arc<dyn Reload>> = Vec::new();
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
    pub(crate) fn follow(&self) -> io::Result<()> {
        if !self.followed.is_empty() {
            tokio::spawn(follow(self.followed.clone(), signal(SignalKind::hangup())?));
        }
        Ok(())
    }
}

fn load(files: TlsFiles, protocols: &[&str]) -> Result<Tls, ServerError> {
    Ok(Tls::load(files, protocols)?)
}

async fn follow(followed: Vec<Arc<dyn Reload>>, mut hangups: Signal) {
    let mut ticks = interval(LOOK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let forced = tokio::select! {
            _ = ticks.tick() => false,
            _ = hangups.recv() => true,
        };
        for one in &followed {
            let one = one.clone();
            if let Err(error) = spawn_blocking(move || log(&*one, one.look(forced))).await {
                tracing::error!("looking at a file of keys or certificates failed: {error}");
            }
        }
    }
}

fn log(followed: &dyn Reload, look: Look) {
    let name = followed.name();
    match look {
        Look::Unchanged => {}
        Look::Renewed => tracing::info!("read again: {name}"),
        Look::Refused(reason) => tracing::error!("{name}: the change cannot be used, nothing has changed: {reason}"),
    }
}
