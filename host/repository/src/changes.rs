//! What changed between two looks at the repositories, as a function.

use std::collections::BTreeSet;

use crate::{model_id::ModelId, snapshot::Snapshot};

/// The models for which something is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// To be loaded: they are new, or anything in their directories is new, gone or rewritten.
    pub(crate) loads: BTreeSet<ModelId>,
    /// To be unloaded: their directories are gone.
    pub(crate) unloads: BTreeSet<ModelId>,
}

/// Compares.
pub(crate) fn between(old: &Snapshot, new: &Snapshot) -> Changes {
    let loads = new.iter().filter(|(id, files)| old.get(*id) != Some(files));
    let unloads = old.keys().filter(|id| !new.contains_key(*id));
    Changes { loads: loads.map(|(id, _)| id.clone()).collect(), unloads: unloads.cloned().collect() }
}

// === impl Changes ===

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.loads.is_empty() && self.unloads.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::snapshot::Stamp;

    /// Files as (path, seconds, bytes); the model is the first part of the path.
    fn snapshot(files: &[(&str, u64, u64)]) -> Snapshot {
        let mut snapshot = Snapshot::new();
        for (path, seconds, bytes) in files {
            let (model, _) = path.split_once('/').unwrap();
            let modified = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(*seconds));
            let stamp = if path.ends_with('/') { Stamp::Directory } else { Stamp::File { modified, bytes: *bytes } };
            snapshot.entry(ModelId::plain(model)).or_default().insert(path.into(), stamp);
        }
        snapshot
    }

    const BEFORE: [(&str, u64, u64); 5] = [
        ("a/config.pbtxt", 10, 100),
        ("a/labels.txt", 10, 20),
        ("a/1/", 0, 0),
        ("a/1/model.onnx", 10, 5_000),
        ("b/1/", 0, 0),
    ];

    /// Compares `BEFORE` with itself after `edit`.
    fn check(edit: impl FnOnce(&mut Vec<(&str, u64, u64)>), loads: &[&str], unloads: &[&str]) {
        let mut after = BEFORE.to_vec();
        edit(&mut after);
        let set = |names: &[&str]| names.iter().map(|name| ModelId::plain(name)).collect();
        let expected = Changes { loads: set(loads), unloads: set(unloads) };
        assert_eq!(between(&snapshot(&BEFORE), &snapshot(&after)), expected, "{after:?}");
    }

    #[test]
    fn nothing_changed_is_nothing_to_do() {
        check(|_| {}, &[], &[]);
        check(|files| files.reverse(), &[], &[]);
    }

    #[test]
    fn a_rewritten_file_reloads_its_model_only() {
        check(|files| files[0] = ("a/config.pbtxt", 11, 100), &["a"], &[]);
        check(|files| files[1] = ("a/labels.txt", 11, 20), &["a"], &[]);
        check(|files| files[3] = ("a/1/model.onnx", 10, 5_001), &["a"], &[]);
        // Restored from a backup: older, and different all the same.
        check(|files| files[3] = ("a/1/model.onnx", 9, 5_000), &["a"], &[]);
    }

    #[test]
    fn a_version_or_a_file_that_comes_or_goes_reloads_its_model() {
        check(|files| files.push(("b/2/", 0, 0)), &["b"], &[]);
        check(|files| files.push(("b/config.pbtxt", 10, 1)), &["b"], &[]);
        check(|files| files.retain(|(path, ..)| *path != "a/labels.txt"), &["a"], &[]);
    }

    #[test]
    fn models_come_and_go() {
        check(|files| files.push(("c/1/", 0, 0)), &["c"], &[]);
        check(|files| files.truncate(4), &[], &["b"]);
        check(|files| files[4] = ("c/1/", 0, 0), &["c"], &["b"]);
        check(|files| files.truncate(0), &[], &["a", "b"]);
    }
}
