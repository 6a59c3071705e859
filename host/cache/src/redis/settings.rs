//! How a Redis server is reached: the settings of `--cache-config=redis,…`, under upstream's names.
//!
//! Source: the table in the README of Triton's Redis cache. A user and a password that no flag gives come from the
//! environment, so that they are in no list of processes.

use std::{fmt, path::PathBuf, time::Duration};

/// Where the user is looked for when no flag names one.
const USER_VARIABLE: &str = "TRITONCACHE_REDIS_USERNAME";

/// Where the password is looked for.
const PASSWORD_VARIABLE: &str = "TRITONCACHE_REDIS_PASSWORD";

/// Longest time that a flag may give to a connection or an operation.
const TIMEOUT_MAX: Duration = Duration::from_secs(3_600);

/// A Redis server and how to speak with it.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisSettings {
    pub host: String,
    pub port: u16,
    pub user: Option<String>,
    pub password: Option<String>,
    /// Number of the database.
    pub db: i64,
    /// In place of the limit `cache-redis-connect`.
    pub connect_timeout: Option<Duration>,
    /// In place of the limit `cache-redis-operation`.
    pub socket_timeout: Option<Duration>,
    pub tls: Option<RedisTls>,
}

/// Certificates, as files in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisTls {
    /// Certificate and key of this client.
    pub client: Option<(PathBuf, PathBuf)>,
    /// Who vouches for the server; the system's authorities unless given.
    pub authority: Option<PathBuf>,
    /// Name that the server's certificate must have; the host unless given.
    pub server_name: Option<String>,
}

/// What is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisSettingsError {
    /// The setting, if it is a single one.
    pub key: Option<String>,
    pub problem: String,
}

/// The settings as they are written.
#[derive(Default)]
struct Written {
    host: Option<String>,
    port: Option<u16>,
    user: Option<String>,
    password: Option<String>,
    db: i64,
    connect_timeout: Option<Duration>,
    socket_timeout: Option<Duration>,
    tls_enabled: bool,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    cacert: Option<PathBuf>,
    sni: Option<String>,
}

// === impl RedisSettings ===

impl RedisSettings {
    /// Understands settings by name; of one given twice the last counts.
    ///
    /// # Errors
    /// A setting that is none, a value that is none, or what is missing.
    pub fn read<'a>(
        settings: impl Iterator<Item = (&'a str, &'a str)>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, RedisSettingsError> {
        let mut written = Written::default();
        for (key, value) in settings {
            let problem = |problem: String| RedisSettingsError { key: Some(key.to_owned()), problem };
            written.set(key, value).map_err(problem)?;
        }
        let from_environment = |name: &str| environment(name).filter(|value| !value.is_empty());
        let tls = written.tls()?;
        let (Some(host), Some(port)) = (written.host, written.port) else {
            let text = "Failed to initialize RedisCache, didn't specify address. Must at a minimum specify 'host' and \
                        'port' in the configuration - e.g. --cache-config redis,host=redis --cache-config \
                        redis,port=6379";
            return Err(RedisSettingsError { key: None, problem: text.to_owned() });
        };
        Ok(Self {
            host,
            port,
            user: written.user.or_else(|| from_environment(USER_VARIABLE)),
            password: written.password.or_else(|| from_environment(PASSWORD_VARIABLE)),
            db: written.db,
            connect_timeout: written.connect_timeout,
            socket_timeout: written.socket_timeout,
            tls,
        })
    }
}

/// The password is not shown.
impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = self.password.as_ref().map(|_| "…");
        let Self { host, port, user, db, connect_timeout, socket_timeout, tls, .. } = self;
        f.debug_struct("RedisSettings")
            .field("address", &(host, port))
            .field("user", user)
            .field("password", &password)
            .field("db", db)
            .field("timeouts", &(connect_timeout, socket_timeout))
            .field("tls", tls)
            .finish()
    }
}

/// The address, for messages.
impl fmt::Display for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

// === impl Written ===

impl Written {
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "host" => self.host = Some(value.to_owned()),
            "port" => self.port = Some(value.parse().map_err(|_| "expected a port, 1 to 65535".to_owned())?),
            "user" => self.user = Some(value.to_owned()),
            "password" => self.password = Some(value.to_owned()),
            "db" => {
                let db = value.parse().ok().filter(|db| *db >= 0);
                self.db = db.ok_or("expected the number of a database, 0 or more")?;
            }
            "connect_timeout" => self.connect_timeout = timeout(value)?,
            "socket_timeout" => self.socket_timeout = timeout(value)?,
            "tls_enabled" => self.tls_enabled = value == "true",
            "cert" => self.cert = Some(value.into()),
            "key" => self.key = Some(value.into()),
            "cacert" => self.cacert = Some(value.into()),
            "sni" => self.sni = Some(value.to_owned()),
            // One connection carries all requests, none waits for a place in a pool.
            "pool_size" | "wait_timeout" => drop(timeout(value)?),
            _ => {
                return Err("the cache 'redis' has the settings host, port, user, password, db, connect_timeout, \
                            socket_timeout, pool_size, wait_timeout, tls_enabled, cert, key, cacert and sni"
                    .to_owned());
            }
        }
        Ok(())
    }

    fn tls(&mut self) -> Result<Option<RedisTls>, RedisSettingsError> {
        if !self.tls_enabled {
            return Ok(None);
        }
        let client = match (self.cert.take(), self.key.take()) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            (cert, _) => {
                let (key, other) = if cert.is_some() { ("cert", "key") } else { ("key", "cert") };
                let problem = format!("needs '{other}' too: a certificate and its key belong together");
                return Err(RedisSettingsError { key: Some(key.to_owned()), problem });
            }
        };
        Ok(Some(RedisTls { client, authority: self.cacert.take(), server_name: self.sni.take() }))
    }
}

/// Milliseconds; 0, which upstream takes for ever, is the server's own limit: a request never waits for ever.
fn timeout(value: &str) -> Result<Option<Duration>, String> {
    let milliseconds = value.parse().ok().map(Duration::from_millis).filter(|timeout| *timeout <= TIMEOUT_MAX);
    let timeout = milliseconds.ok_or("expected milliseconds, 0 to 3600000")?;
    Ok(Some(timeout).filter(|timeout| !timeout.is_zero()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &str, environment: &[(&str, &str)]) -> Result<RedisSettings, String> {
        let settings: Vec<(&str, &str)> = settings.split_whitespace().filter_map(|text| text.split_once('=')).collect();
        let variable = |name: &str| {
            environment.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned())
        };
        RedisSettings::read(settings.into_iter(), variable)
            .map_err(|RedisSettingsError { key, problem }| format!("{}: {problem}", key.unwrap_or_default()))
    }

    #[track_caller]
    fn check_refused(settings: &str, expected: &str) {
        let error = read(settings, &[]).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }

    #[test]
    fn every_setting_has_its_place() {
        let settings = read(
            "host=h port=1 user=u password=p db=3 connect_timeout=10 socket_timeout=20 pool_size=4 tls_enabled=true \
             cert=/c key=/k cacert=/a sni=n",
            &[],
        );
        let tls = RedisTls {
            client: Some(("/c".into(), "/k".into())),
            authority: Some("/a".into()),
            server_name: Some("n".into()),
        };
        let expected = RedisSettings {
            host: "h".into(),
            port: 1,
            user: Some("u".into()),
            password: Some("p".into()),
            db: 3,
            connect_timeout: Some(Duration::from_millis(10)),
            socket_timeout: Some(Duration::from_millis(20)),
            tls: Some(tls),
        };
        assert_eq!(settings.unwrap(), expected);
    }

    #[test]
    fn credentials_come_from_the_environment_unless_a_flag_gives_them() {
        let environment = [(USER_VARIABLE, "eve"), (PASSWORD_VARIABLE, "secret")];
        let credentials = |settings: &str| {
            let settings = read(settings, &environment).unwrap();
            (settings.user.unwrap(), settings.password.unwrap())
        };
        assert_eq!(credentials("host=h port=1"), ("eve".into(), "secret".into()));
        assert_eq!(credentials("host=h port=1 user=u password=p"), ("u".into(), "p".into()));
        let empty = read("host=h port=1", &[(USER_VARIABLE, "")]).unwrap();
        assert_eq!((empty.user, empty.tls), (None, None));
    }

    #[test]
    fn for_ever_is_the_servers_own_limit() {
        assert_eq!(read("host=h port=1 socket_timeout=0", &[]).unwrap().socket_timeout, None);
    }

    #[test]
    fn what_means_nothing_or_is_missing_is_said() {
        check_refused("host=h", ": Failed to initialize RedisCache, didn't specify address.");
        check_refused("port=1", ": Failed to initialize RedisCache, didn't specify address.");
        check_refused("host=h port=x", "port: expected a port");
        check_refused("host=h port=1 db=-1", "db: expected the number of a database");
        check_refused("host=h port=1 socket_timeout=soon", "socket_timeout: expected milliseconds");
        check_refused("host=h port=1 hots=h", "hots: the cache 'redis' has the settings host,");
        check_refused("host=h port=1 tls_enabled=true cert=/c", "cert: needs 'key' too");
        check_refused("host=h port=1 tls_enabled=true key=/k", "key: needs 'cert' too");
    }

    #[test]
    fn the_password_is_not_printed() {
        let settings = read("host=h port=1 password=secret", &[]).unwrap();
        assert!(!format!("{settings:?} {settings}").contains("secret"));
    }
}
