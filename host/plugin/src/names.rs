//! Lists of model names, as grants write them: whole names, or patterns in which `*` stands for any characters.

use std::fmt;

/// A list; the empty one has no name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamePatterns(Vec<String>);

// === impl NamePatterns ===

impl NamePatterns {
    /// Every name.
    pub fn all() -> Self {
        Self(vec!["*".to_owned()])
    }

    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| matches(pattern, name))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that name one model each, without a pattern.
    pub fn whole_names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str).filter(|pattern| !pattern.contains('*'))
    }
}

impl<T: Into<String>> FromIterator<T> for NamePatterns {
    fn from_iter<I: IntoIterator<Item = T>>(patterns: I) -> Self {
        Self(patterns.into_iter().map(Into::into).collect())
    }
}

/// With commas between them, in quotation marks.
impl fmt::Display for NamePatterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted: Vec<String> = self.0.iter().map(|pattern| format!("'{pattern}'")).collect();
        f.write_str(&quoted.join(", "))
    }
}

/// Greedy from the left: the first part must begin the name, the last one end it, the others follow one another.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        match left.find(part) {
            Some(at) => left = left.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, yes, no) in [
            ("digits", &["digits"][..], &["digit", "digits2", ""][..]),
            ("*", &["", "a", "a/b"], &[]),
            ("acme_*", &["acme_", "acme_x"], &["acme", "x_acme_"]),
            ("*_v1", &["_v1", "a_v1"], &["a_v12"]),
            ("a*b*c", &["abc", "a1b2c", "abbc", "abcbc"], &["ac", "acb", "abcd"]),
            ("a**c", &["ac", "abc"], &["a"]),
            ("ab*ba", &["abba", "abxba"], &["aba"]),
        ] {
            let names = NamePatterns::from_iter([pattern]);
            assert!(yes.iter().all(|name| names.contains(name)), "{pattern} {yes:?}");
            assert!(!no.iter().any(|name| names.contains(name)), "{pattern} {no:?}");
        }
    }

    #[test]
    fn an_empty_list_has_no_name() {
        let names = NamePatterns::default();
        assert!(names.is_empty() && !names.contains("") && !names.contains("a"));
    }
}
