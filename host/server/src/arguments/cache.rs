//! `--cache-config` and what belongs to it: which response cache, and how it is set.
//!
//! Texts are tritonserver's where it has one. A setting that nobody reads is refused rather than ignored.

use std::{fmt, path::PathBuf, str::FromStr};

use clap::{ArgAction, Args};
use nereid_cache::RedisSettings;

use crate::arguments::ArgumentError;

/// Where answers of models that say `response_cache { enable: true }` are kept.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Response cache")]
pub struct CacheArguments {
    /// Setting of the response cache (CACHE,KEY=VALUE); may be given several times. 'local,size=BYTES' keeps answers in
    /// this process. 'redis,host=HOST' with 'redis,port=PORT' keeps them in a Redis server; further keys are user,
    /// password, db, connect_timeout and socket_timeout (milliseconds), tls_enabled, cert, key, cacert and sni. Models ask for it with
    /// 'response_cache { enable: true }'
    #[arg(long, value_name = "SETTING", action = ArgAction::Append)]
    pub cache_config: Vec<CacheSetting>,

    /// Former name of --cache-config=local,size=BYTES
    #[arg(long, hide = true, value_name = "BYTES")]
    pub response_cache_byte_size: Option<usize>,

    /// Where tritonserver looks for libraries of caches; those of this server are built in.
    #[arg(long, hide = true, value_name = "DIR")]
    pub cache_directory: Option<PathBuf>,
}

/// One `--cache-config`. The value may be a password: it is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct CacheSetting {
    pub cache: String,
    pub key: String,
    pub value: String,
}

/// A response cache, as the command line describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheChoice {
    Local { size_bytes: usize },
    Redis(Box<RedisSettings>),
}

// === impl CacheArguments ===

impl CacheArguments {
    /// The cache that is asked for, if one is. Credentials of Redis that no flag gives come from `environment`.
    ///
    /// # Errors
    /// Settings that contradict each other, that mean nothing, or that are missing.
    pub fn choice(&self, environment: impl Fn(&str) -> Option<String>) -> Result<Option<CacheChoice>, ArgumentError> {
        self.understood(environment).map_err(ArgumentError::new)
    }

    /// What to say of the flags when the log is open.
    pub fn remarks(&self) -> Vec<String> {
        let size = self.response_cache_byte_size.map(|size| {
            format!(
                "'--response-cache-byte-size' has been deprecated! This will default to the 'local' cache \
                 implementation with the provided byte size for its config. Please use '--cache-config' instead. The \
                 equivalent --cache-config CLI args would be: '--cache-config=local,size={size}'"
            )
        });
        let directory = self.cache_directory.as_ref().map(|directory| {
            format!("--cache-directory={} has no effect here: the caches are built in", directory.display())
        });
        size.into_iter().chain(directory).collect()
    }

    fn understood(&self, environment: impl Fn(&str) -> Option<String>) -> Result<Option<CacheChoice>, String> {
        let Some(first) = self.cache_config.first() else {
            return Ok(self
                .response_cache_byte_size
                .filter(|size| *size > 0)
                .map(|size_bytes| CacheChoice::Local { size_bytes }));
        };
        if self.response_cache_byte_size.is_some() {
            return Err(
                "Incompatible flags --response-cache-byte-size and --cache-config both provided. Please provide \
                        one or the other."
                    .to_owned(),
            );
        }
        if self.cache_config.iter().any(|setting| setting.cache != first.cache) {
            let text = "found multiple cache configurations, but only a single cache is currently supported";
            return Err(text.to_owned());
        }
        match first.cache.as_str() {
            "local" => self.local().map(Some),
            "redis" => self.redis(environment).map(Some),
            cache => Err(format!("--cache-config={first}: there is no cache '{cache}', expected 'local' or 'redis'")),
        }
    }

    fn local(&self) -> Result<CacheChoice, String> {
        let mut size_bytes = None;
        for setting in &self.cache_config {
            size_bytes = match setting.key.as_str() {
                "size" => setting.value.parse().ok().filter(|size| *size > 0),
                _ => return Err(format!("--cache-config={setting}: the cache 'local' has the setting 'size' only")),
            };
            if size_bytes.is_none() {
                return Err(format!("--cache-config={setting}: expected a whole number of bytes from 1"));
            }
        }
        let missing = || "--cache-config=local,size=BYTES is missing".to_owned();
        size_bytes.map(|size_bytes| CacheChoice::Local { size_bytes }).ok_or_else(missing)
    }

    fn redis(&self, environment: impl Fn(&str) -> Option<String>) -> Result<CacheChoice, String> {
        let settings = self.cache_config.iter().map(|setting| (setting.key.as_str(), setting.value.as_str()));
        let settings = RedisSettings::read(settings, environment).map_err(|error| match error.key {
            Some(key) => format!("--cache-config=redis,{key}=…: {}", error.problem),
            None => error.problem,
        })?;
        Ok(CacheChoice::Redis(Box::new(settings)))
    }
}

// === impl CacheSetting ===

impl FromStr for CacheSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "option format is '<cache name>,<setting>=<value>'";
        let (cache, setting) =
            text.split_once(',').filter(|(cache, _)| !cache.is_empty() && !cache.contains('=')).ok_or_else(|| {
                "No cache specified. --cache-config option format is <cache name>,<setting>=<value>".to_owned()
            })?;
        let pair = setting.split_once('=').filter(|(key, value)| !key.is_empty() && !value.is_empty());
        let (key, value) = pair.ok_or(form)?;
        Ok(Self { cache: cache.to_owned(), key: key.to_owned(), value: value.to_owned() })
    }
}

impl fmt::Display for CacheSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = if self.key == "password" { "…" } else { &self.value };
        write!(f, "{},{}={value}", self.cache, self.key)
    }
}

impl fmt::Debug for CacheSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests;
