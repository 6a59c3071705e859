//! Where the server keeps what it makes for itself.

use std::{env, ffi::OsString, path::PathBuf};

/// Where compiled plugins are kept: `$XDG_CACHE_HOME/nereid`, or `~/.cache/nereid`; `None` when there is no home.
pub(crate) fn plugin_cache_directory() -> Option<PathBuf> {
    plugin_cache_below(env::var_os("XDG_CACHE_HOME"), env::var_os("HOME"))
}

fn plugin_cache_below(cache_home: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
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
    fn the_cache_lies_where_the_system_keeps_caches() {
        check(Some("/cache"), Some("/users/x"), Some("/cache/nereid"));
        check(None, Some("/users/x"), Some("/users/x/.cache/nereid"));
        check(Some("relative"), Some("/users/x"), Some("/users/x/.cache/nereid"));
        check(Some(""), None, None);
    }
}
