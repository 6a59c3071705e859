//! Who made a component: what its compilers wrote into it, and what only the languages' runtimes contain.
//!
//! A hint for people and nothing more: a file may say anything.

use wasmparser::{KnownCustom, Parser, Payload, ProducersField};

/// Programs that are listed; real components have five.
const MAKERS_MAX: usize = 32;

/// What only the runtime of a language has, the most telling first: such a runtime is written in Rust or C itself.
const TRACES: [(&[u8], Language); 4] = [
    (b"libpython", Language::Python),
    (b"quickjs", Language::JavaScript),
    (b"StarlingMonkey", Language::JavaScript),
    (b"runtime.gopanic", Language::Go),
];

/// What a plugin was written in, as far as its file shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    Rust,
    Python,
    JavaScript,
    C,
    Go,
}

/// A program that had a part in a component.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Maker {
    pub name: String,
    pub version: String,
}

// === impl Language ===

impl Language {
    pub(super) fn of(bytes: &[u8], makers: &[Maker]) -> Option<Self> {
        let contains = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        let traced = TRACES.iter().find(|(trace, _)| contains(trace)).map(|(_, language)| *language);
        let made_by = |name: &str| makers.iter().any(|maker| maker.name == name);
        traced.or_else(|| match () {
            () if made_by("rustc") => Some(Self::Rust),
            () if made_by("clang") => Some(Self::C),
            () => None,
        })
    }

    /// As people write it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Python => "Python",
            Self::JavaScript => "JavaScript",
            Self::C => "C",
            Self::Go => "Go",
        }
    }
}

/// What the `producers` sections say, of the component and of everything in it; each once.
pub(super) fn of(bytes: &[u8]) -> Vec<Maker> {
    let mut makers = Vec::new();
    // The file was compiled already: an error here would be a section of no meaning to anybody.
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        let Payload::CustomSection(section) = payload else { continue };
        let KnownCustom::Producers(fields) = section.as_known() else { continue };
        fields.into_iter().map_while(Result::ok).for_each(|field| collect(&field, &mut makers));
    }
    makers.sort();
    makers.dedup();
    makers
}

fn collect(field: &ProducersField<'_>, makers: &mut Vec<Maker>) {
    // The others are languages, without a version mostly.
    if field.name != "processed-by" && field.name != "sdk" {
        return;
    }
    for value in field.values.clone().into_iter().map_while(Result::ok) {
        if makers.len() < MAKERS_MAX {
            makers.push(Maker { name: value.name.to_owned(), version: value.version.to_owned() });
        }
    }
}
