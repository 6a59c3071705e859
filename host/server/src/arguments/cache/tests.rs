//! `--cache-config` as data: which cache, how it is set, and how it is refused.

use std::ffi::OsString;

use super::*;
use crate::arguments::{Command, ServeArguments, parse};

fn parsed(flags: &str) -> Result<Command, String> {
    let words = ["nereid", "serve", "--model-repository=m"].into_iter().chain(flags.split_whitespace());
    parse(words.map(OsString::from)).map_err(|error| error.to_string())
}

fn check<T: PartialEq + fmt::Debug>(flags: &str, read: impl FnOnce(&ServeArguments) -> T, expected: T) {
    match parsed(flags) {
        Ok(Command::Serve(serve)) => assert_eq!(read(&serve), expected, "{flags}"),
        other => panic!("{flags}: {other:?}"),
    }
}

#[test]
fn the_response_cache_is_chosen_and_set_by_name() {
    let choice = |serve: &ServeArguments| serve.cache.choice(|_| None).unwrap();
    check("", choice, None);
    check("--cache-config=local,size=1048576", choice, Some(CacheChoice::Local { size_bytes: 1 << 20 }));
    check(
        "--cache-config local,size=1 --cache-config local,size=2",
        choice,
        Some(CacheChoice::Local { size_bytes: 2 }),
    );
    check("--response-cache-byte-size=7", choice, Some(CacheChoice::Local { size_bytes: 7 }));
    check("--response-cache-byte-size=0", choice, None);
    let address = |serve: &ServeArguments| match serve.cache.choice(|name| Some(name.to_lowercase())).unwrap() {
        Some(CacheChoice::Redis(settings)) => (settings.to_string(), settings.user, settings.db),
        other => panic!("{other:?}"),
    };
    check(
        "--cache-config=redis,host=h --cache-config=redis,port=6379 --cache-config redis,db=2",
        address,
        ("h:6379".to_owned(), Some("tritoncache_redis_username".to_owned()), 2),
    );
    let remarks = |serve: &ServeArguments| serve.cache.remarks().len();
    check("--cache-directory=/opt/tritonserver/caches --response-cache-byte-size=7", remarks, 2);
}

#[test]
fn a_response_cache_that_cannot_be_is_refused_in_tritons_words() {
    for (flags, expected) in [
        (
            "--cache-config=local,size=1 --cache-config=redis,host=h",
            "found multiple cache configurations, but only a single cache is currently supported",
        ),
        (
            "--cache-config=local,size=1 --response-cache-byte-size=1",
            "Incompatible flags --response-cache-byte-size and --cache-config both provided. Please provide one or the \
             other.",
        ),
        (
            "--cache-config=size=1",
            "--cache-config=size=1: No cache specified. --cache-config option format is <cache name>,<setting>=<value>",
        ),
        ("--cache-config=local,size", "--cache-config=local,size: option format is '<cache name>,<setting>=<value>'"),
        ("--cache-config=local,size=0", "--cache-config=local,size=0: expected a whole number of bytes from 1"),
        ("--cache-config=local,sise=1", "--cache-config=local,sise=1: the cache 'local' has the setting 'size' only"),
        ("--cache-config=disk,a=b", "--cache-config=disk,a=b: there is no cache 'disk', expected 'local' or 'redis'"),
        ("--cache-config=redis,port=x", "--cache-config=redis,port=…: expected a port, 1 to 65535"),
    ] {
        assert_eq!(parsed(flags).unwrap_err(), expected);
    }
}
