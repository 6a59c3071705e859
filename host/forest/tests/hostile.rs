//! Every real model cut off anywhere, and with bytes changed: an error or another forest, never a panic.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use nereid_forest::{Evaluator, FlatForest, Forest, Format, NodeKind, ReadOptions, read};

/// Cuts and changes per file; a file is read once for each.
const PLACES: usize = 120;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn format_of(name: &str) -> Option<Format> {
    match name {
        _ if name.ends_with(".expected.json") => None,
        _ if name.ends_with(".forest.json") => Some(Format::Exported),
        _ if name.ends_with(".json") => Some(Format::XgboostJson),
        _ if name.ends_with(".ubj") => Some(Format::XgboostUbjson),
        _ if name.ends_with(".tl") => Some(Format::Treelite),
        _ if name.ends_with(".txt") && name != "requirements.txt" => Some(Format::LightGbm),
        _ => None,
    }
}

fn models() -> Vec<(String, Format, Vec<u8>)> {
    let entries = fs::read_dir(root().join("tests/models/forests")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let models = names.filter_map(|name| {
        let format = format_of(&name)?;
        let bytes = fs::read(root().join("tests/models/forests").join(&name)).unwrap();
        Some((name, format, bytes))
    });
    let models: Vec<_> = models.collect();
    assert!(models.len() >= 20, "only {} models: are they there?", models.len());
    models
}

/// Where the last byte lies that a reader needs.
fn needed(format: Format, bytes: &[u8]) -> usize {
    match format {
        Format::LightGbm => String::from_utf8_lossy(bytes).find("end of trees").unwrap() + "end of trees".len(),
        _ => bytes.trim_ascii_end().len(),
    }
}

/// Whether a device that walks the arrays comes to an end and reads nothing outside.
fn stays_inside(forest: &Forest) -> bool {
    let flat = FlatForest::new(forest);
    let is_in = |place: u32, count: usize| (place as usize) < count;
    let nodes_stay = flat.nodes.iter().enumerate().all(|(index, [_, left, feature, payload])| {
        let feature_stays = is_in(feature & FlatForest::FEATURE_MASK, flat.feature_count);
        let set_stays = feature & FlatForest::MEMBER == 0 || is_in(*payload, flat.sets.len());
        match *left as usize {
            left if left == index => is_in(*payload, flat.leaf_values.len()),
            left => left > index && left + 1 < flat.nodes.len() && feature_stays && set_stays,
        }
    });
    let sets_stay = flat.sets.iter().all(|[start, end, _]| start <= end && *end as usize <= flat.words.len());
    let roots_stay = flat.trees.iter().all(|[root, _]| is_in(*root, flat.nodes.len()));
    let additions_stay = flat.additions.iter().all(|[tree, value]| {
        let count = flat.trees.get(*tree as usize).map_or(0, |[_, count]| *count);
        if *value == FlatForest::ONLY_VALUE { count == 1 } else { *value < count }
    });
    let starts_stay = flat.addition_starts.is_sorted()
        && flat.addition_starts.len() == flat.output_count + 1
        && flat.addition_starts.last().is_some_and(|end| *end as usize == flat.additions.len());
    let values_stay = forest.trees.iter().all(|tree| {
        let leaves = tree.nodes.iter().filter_map(|node| match node.kind {
            NodeKind::Leaf(start) => Some(start),
            NodeKind::Split(_) => None,
        });
        leaves.into_iter().all(|start| start + tree.outputs.count <= tree.leaf_values.len())
    });
    nodes_stay && sets_stay && roots_stay && additions_stay && starts_stay && values_stay
}

#[test]
fn a_model_that_is_cut_off_is_refused() {
    for (name, format, bytes) in models() {
        let needed = needed(format, &bytes);
        for place in 0..PLACES {
            let length = place * needed / PLACES;
            let result = read(format, &bytes[..length], ReadOptions::default());
            assert!(result.is_err(), "{name}: {length} bytes of {needed} are enough");
        }
        assert!(read(format, &bytes[..needed], ReadOptions::default()).is_ok(), "{name}");
    }
}

#[test]
fn changed_bytes_make_an_error_or_a_forest_that_can_be_evaluated() {
    let (mut refused, mut accepted) = (0, 0);
    for (name, format, bytes) in models() {
        for place in 0..PLACES {
            let mut changed = bytes.clone();
            let at = (place * 7919 + 13) % bytes.len();
            changed[at] = [0, 0xff, b'9', b'-', changed[at] ^ 0x80][place % 5];
            match read(format, &changed, ReadOptions::default()) {
                Err(error) => {
                    refused += 1;
                    assert!(error.to_string().len() > 5, "{name}, byte {at}");
                }
                Ok(forest) if forest.feature_count < 100_000 => {
                    accepted += 1;
                    let mut scores = vec![0.0; forest.output_count()];
                    Evaluator::new(&forest).scores(&vec![0.5; forest.feature_count], &mut scores, None);
                    assert!(stays_inside(&forest), "{name}, byte {at}");
                }
                Ok(_) => {}
            }
        }
    }
    assert!(refused > 500 && accepted > 500, "{refused} refused, {accepted} accepted");
}

#[test]
fn the_seeds_of_the_fuzz_target_are_forests() {
    let mut count = 0;
    for entry in fs::read_dir(root().join("tests/fuzz/seeds/forest")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let format = match bytes[0] {
            b'j' => Format::XgboostJson,
            b'u' => Format::XgboostUbjson,
            b'l' => Format::LightGbm,
            b't' => Format::Treelite,
            _ => Format::Exported,
        };
        if let Err(error) = read(format, &bytes[1..], ReadOptions::default()) {
            panic!("{}: {error}", path.display());
        }
        count += 1;
    }
    assert!(count >= 10, "only {count} seeds");
}
