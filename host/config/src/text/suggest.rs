//! What the author may have meant.

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};

/// More edits than this and the word is another one.
const EDITS_MAX: usize = 3;

/// Advice for a field that `message` does not have.
pub(crate) fn field(message: &MessageDescriptor, written: &str) -> String {
    let names: Vec<String> = message.fields().map(|field| field.name().to_owned()).collect();
    if let Some(name) = nearest(&names, written) {
        return format!("did you mean '{name}'?");
    }
    if let Some(inner) = message.fields().find(|field| has_field(field, written)) {
        return format!("'{written}' belongs inside '{} {{ … }}'", inner.name());
    }
    format!("{} has {}", message.name(), listed(&names))
}

/// Advice for a value that the enum does not have.
pub(crate) fn enum_value(descriptor: &EnumDescriptor, written: &str) -> String {
    let names: Vec<String> = descriptor.values().map(|value| value.name().to_owned()).collect();
    let upper = written.to_ascii_uppercase();
    // A word without the common prefix, for example FP32 for TYPE_FP32.
    let whole = names.iter().find(|name| name.strip_suffix(&upper).is_some_and(|prefix| prefix.ends_with('_')));
    match whole.map(String::as_str).or_else(|| nearest(&names, &upper)) {
        Some(name) => format!("did you mean {name}?"),
        None => format!("{} is one of {}", descriptor.name(), names.join(", ")),
    }
}

fn has_field(field: &FieldDescriptor, name: &str) -> bool {
    matches!(field.kind(), Kind::Message(inner) if !inner.is_map_entry() && inner.get_field_by_name(name).is_some())
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "no fields".to_owned() } else { format!("the fields {}", names.join(", ")) }
}

/// The one of `names` that is fewest edits away, if that is few.
fn nearest<'a>(names: &'a [String], written: &str) -> Option<&'a str> {
    let allowed = EDITS_MAX.min(written.len() / 3).max(1);
    let edits = |name: &&String| edit_distance(name, written);
    names.iter().min_by_key(edits).filter(|name| edits(name) <= allowed).map(String::as_str)
}

/// Insertions, removals and replacements that make one word the other.
fn edit_distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (above, from_character) in from.chars().enumerate() {
        let mut diagonal = above;
        let mut left = above + 1;
        for (cell, to_character) in row.iter_mut().skip(1).zip(to.chars()) {
            let replaced = diagonal + usize::from(from_character != to_character);
            diagonal = *cell;
            left = replaced.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = above + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (from, to, expected) in [("", "abc", 3), ("kitten", "sitting", 3), ("same", "same", 0), ("ab", "", 2)] {
            assert_eq!(edit_distance(from, to), expected, "{from} {to}");
        }
    }
}
