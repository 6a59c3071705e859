//! One connection to Redis, kept up by a task; requests use it when it is there and never wait for it to come.
//!
//! Promises: every operation ends within its time limit; an operation that fails or takes too long gives the connection up,
//! and the task makes another one, as often as it takes. Requests are not delayed by a server that is away: see
//! [`Health`].
//! Costs: one connection for all requests of the process; commands are sent as they come and answered in order, so that
//! whoever looks for what this process has put away finds it.

use std::{
    fs, io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo,
    RedisError, RedisFuture, TlsCertificates, Value, aio::MultiplexedConnection, io::AsyncDNSResolver,
};
use tokio::{
    net::lookup_host,
    sync::Notify,
    time::{sleep, timeout},
};

use crate::{
    CacheLimits,
    redis::{health::Health, settings::RedisSettings},
};

/// Between two attempts to connect.
const RECONNECT_PAUSE: Duration = Duration::from_millis(250);

/// The server as requests use it.
pub(crate) struct Link {
    address: String,
    operation_time_max: Duration,
    state: Mutex<State>,
    lost: Arc<Notify>,
}

struct State {
    /// Numbered, so that an operation on an old one does not give up its successor.
    connection: Option<(u64, MultiplexedConnection)>,
    connections_made: u64,
    health: Health,
}

/// What makes connections.
struct Connector {
    client: Client,
    config: AsyncConnectionConfig,
    connect_time_max: Duration,
}

/// Finds the server's host whatever name its certificate must have.
struct HostOf(String);

/// Why the cache cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum RedisStartError {
    #[error("Failed to initialize RedisCache: {what} '{file}' cannot be read: {source}")]
    File { what: &'static str, file: String, source: io::Error },
    #[error("Failed to initialize RedisCache: {0}")]
    Settings(RedisError),
    #[error("Failed to initialize RedisCache: {address}: {problem}")]
    Refused { address: String, problem: RedisError },
}

// === impl Link ===

impl Link {
    /// Connects once, so that what no waiting would mend is said at the start; a server that is away is waited for.
    /// Must be called within a runtime.
    pub(crate) async fn start(settings: &RedisSettings, limits: &CacheLimits) -> Result<Arc<Self>, RedisStartError> {
        let connector = Connector::new(settings, limits)?;
        let link = Arc::new(Self {
            address: settings.to_string(),
            operation_time_max: settings.socket_timeout.unwrap_or(limits.redis_operation_max),
            state: Mutex::new(State { connection: None, connections_made: 0, health: Health::new(limits.redis_pause) }),
            lost: Arc::default(),
        });
        match connector.connect().await {
            Ok(connection) => link.connected(connection),
            Err(problem) if is_refusal(&problem) => {
                return Err(RedisStartError::Refused { address: link.address.clone(), problem });
            }
            Err(problem) => link.complain(&problem.to_string()),
        }
        tokio::spawn(keep_connected(Arc::downgrade(&link), link.lost.clone(), connector));
        Ok(link)
    }

    /// Whether an operation would be tried now.
    pub(crate) fn is_up(&self) -> bool {
        self.state.lock().connection.is_some()
    }

    /// One operation; `None` when there is no server to ask, or no answer in time.
    ///
    /// The first poll sends the command where it can.
    pub(crate) async fn ask(&self, command: &Cmd) -> Option<Result<Value, RedisError>> {
        let (number, mut connection) = self.take()?;
        match timeout(self.operation_time_max, send(&mut connection, command)).await {
            Ok(Err(error)) if error.is_unrecoverable_error() => self.lose(number, &error.to_string()),
            Ok(answer) => {
                if self.state.lock().health.succeeded() {
                    tracing::info!("Redis at {} answers again", self.address);
                }
                return Some(answer);
            }
            Err(_) => self.lose(number, &format!("no answer within {} ms", self.operation_time_max.as_millis())),
        }
        None
    }

    fn take(&self) -> Option<(u64, MultiplexedConnection)> {
        let mut state = self.state.lock();
        let connection = state.connection.clone()?;
        state.health.admits(Instant::now()).then_some(connection)
    }

    fn connected(&self, connection: MultiplexedConnection) {
        let mut state = self.state.lock();
        state.connections_made += 1;
        state.connection = Some((state.connections_made, connection));
        tracing::info!("connected to Redis at {}", self.address);
    }

    /// Gives a connection up.
    fn lose(&self, number: u64, problem: &str) {
        let mut state = self.state.lock();
        let is_current = state.connection.as_ref().is_some_and(|(current, _)| *current == number);
        if is_current {
            state.connection = None;
        }
        drop(state);
        self.complain(problem);
        if is_current {
            self.lost.notify_one();
        }
    }

    /// Says so once, until the server answers again.
    fn complain(&self, problem: &str) {
        if self.state.lock().health.failed(Instant::now()) {
            let address = &self.address;
            tracing::warn!("Redis at {address} does not answer ({problem}); requests are executed until it does");
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.lost.notify_one();
    }
}

/// Makes a new connection whenever there is none, until the link is gone.
async fn keep_connected(link: Weak<Link>, lost: Arc<Notify>, connector: Connector) {
    loop {
        match link.upgrade().map(|link| link.is_up()) {
            None => return,
            Some(true) => {
                lost.notified().await;
                continue;
            }
            Some(false) => {}
        }
        let connection = connector.connect().await;
        let Some(link) = link.upgrade() else { return };
        match connection {
            Ok(connection) => link.connected(connection),
            Err(error) => {
                link.complain(&error.to_string());
                drop(link);
                sleep(RECONNECT_PAUSE).await;
            }
        }
    }
}

/// Sends a command; an error that the server answers with is one.
async fn send(connection: &mut MultiplexedConnection, command: &Cmd) -> Result<Value, RedisError> {
    connection.send_packed_command(command).await?.extract_error()
}

/// Whether the server was there and said no: waiting would not help.
fn is_refusal(error: &RedisError) -> bool {
    const REFUSALS: [&str; 4] = ["NOAUTH", "WRONGPASS", "NOPERM", "ERR"];
    error.code().is_some_and(|code| REFUSALS.contains(&code)) || error.kind() == redis::ErrorKind::AuthenticationFailed
}

// === impl Connector ===

impl Connector {
    fn new(settings: &RedisSettings, limits: &CacheLimits) -> Result<Self, RedisStartError> {
        let mut redis = RedisConnectionInfo::default().set_db(settings.db).set_skip_set_lib_name();
        if let Some(user) = &settings.user {
            redis = redis.set_username(user);
        }
        if let Some(password) = &settings.password {
            redis = redis.set_password(password);
        }
        let (host, port) = (settings.host.clone(), settings.port);
        let connect_time_max = settings.connect_timeout.unwrap_or(limits.redis_connect_max);
        let mut config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(connect_time_max))
            // The limit of an operation is kept by its caller; that of the greeting is the connection's.
            .set_response_timeout(None);
        let address = match &settings.tls {
            None => ConnectionAddr::Tcp(host, port),
            Some(tls) => {
                let name = tls.server_name.clone().unwrap_or_else(|| host.clone());
                config = config.set_dns_resolver(HostOf(host));
                ConnectionAddr::TcpTls { host: name, port, insecure: false, tls_params: None }
            }
        };
        let info = address.into_connection_info().map_err(RedisStartError::Settings)?.set_redis_settings(redis);
        let client = match &settings.tls {
            None => Client::open(info),
            Some(tls) => {
                let client_tls = match &tls.client {
                    None => None,
                    Some((cert, key)) => Some(ClientTlsConfig {
                        client_cert: read("the certificate", cert)?,
                        client_key: read("the key", key)?,
                    }),
                };
                let root_cert = tls.authority.as_deref().map(|file| read("the authority's certificate", file));
                Client::build_with_tls(info, TlsCertificates { client_tls, root_cert: root_cert.transpose()? })
            }
        };
        Ok(Self { client: client.map_err(RedisStartError::Settings)?, config, connect_time_max })
    }

    /// A connection that has answered.
    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let connect = async {
            let mut connection = self.client.get_multiplexed_async_connection_with_config(&self.config).await?;
            send(&mut connection, &redis::cmd("PING")).await?;
            Ok(connection)
        };
        let too_late = || io::Error::new(io::ErrorKind::TimedOut, "no connection in time");
        timeout(self.connect_time_max, connect).await.unwrap_or_else(|_| Err(too_late().into()))
    }
}

fn read(what: &'static str, file: &Path) -> Result<Vec<u8>, RedisStartError> {
    fs::read(file).map_err(|source| RedisStartError::File { what, file: file.display().to_string(), source })
}

// === impl HostOf ===

impl AsyncDNSResolver for HostOf {
    fn resolve<'a, 'b: 'a>(
        &'a self,
        _certified: &'b str,
        port: u16,
    ) -> RedisFuture<'a, Box<dyn Iterator<Item = SocketAddr> + Send + 'a>> {
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = lookup_host((self.0.as_str(), port)).await?.collect();
            Ok(Box::new(addresses.into_iter()) as Box<dyn Iterator<Item = SocketAddr> + Send>)
        })
    }
}
