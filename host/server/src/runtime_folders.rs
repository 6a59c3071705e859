//! Where the server keeps what it makes for itself.

use std::{env, ffi::OsString, path::PathBuf};

/// Where compiled plugins are kept: `$XDG_CACHE_HOME/nereid`, or `~/.cache/nereid`; `None` when there is no home.
pub(crate) fn plugin_cache_directory() -> Option<PathBuf> {
    plugin_cache_below(env::var_os("XDG_CACHE_HOME"), env::var_os("HOME"))
}

/// Where compilers are fetched to: `$XDG_DATA_HOME/nereid`, or `~/.local/share/nereid`; `None` when there is no home.
pub(crate) fn data_directory() -> Option<PathBuf> {
    data_below(env::var_os("XDG_DATA_HOME"), env::var_os("HOME"))
}

fn data_below(data_home: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let data_home = data_home.and_then(absolute).or_else(|| Some(home.and_then(absolute)?.join(".local/share")));
    Some(data_home?.join("nereid"))
}

/// Relative paths in these variables are to be ignored.
fn absolute(path: OsString) -> Option<PathBuf> {
    Some(PathBuf::from(path)).filter(|path| path.is_absolute())
}

fn plugin_cache_below(cache_home: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let cache_home = cache_home.and_then(absolute).or_else(|| Some(home.and_then(absolute)?.join(".cache")));
    Some(cache_home?.join("nereid"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cache_home: Option<&str>, home: Option<&str>, expected: Option<&str>) {
        let found = plugin_cache_below(cache_home.map(OsString::from), home.map(OsString::from));
        assert_eq!(found, expected.map(PathBuf::from));
    }

    #[test]
    fn compilers_lie_where_the_system_keeps_data() {
        let below = |data_home: Option<&str>| data_below(data_home.map(OsString::from), Some("/users/x".into()));
        assert_eq!(below(Some("/data")), Some("/data/nereid".into()));
        assert_eq!(below(Some("relative")), Some("/users/x/.local/share/nereid".into()));
        assert_eq!(data_below(None, None), None);
    }

    #[test]
    fn the_cache_lies_where_the_system_keeps_caches() {
        check(Some("/cache"), Some("/users/x"), Some("/cache/nereid"));
        check(None, Some("/users/x"), Some("/users/x/.cache/nereid"));
        check(Some("relative"), Some("/users/x"), Some("/users/x/.cache/nereid"));
        check(Some(""), None, None);
    }
}
