//! The languages that plugins are written in, and what tells a folder of one from that of another.

use std::{path::Path, str::FromStr};

use nereid_toolchains::Toolchain;

use crate::WorkshopError;

/// One that there is an SDK for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    Rust,
    Python,
    JavaScript,
    C,
    Go,
}

// === impl Language ===

impl Language {
    const ALL: [Self; 5] = [Self::Rust, Self::Python, Self::JavaScript, Self::C, Self::Go];

    /// The word that commands take, and the SDK's folder.
    pub fn name(self) -> &'static str {
        self.toolchain().language
    }

    /// What compiles it.
    pub fn toolchain(self) -> Toolchain {
        match self {
            Self::Rust => Toolchain::RUST,
            Self::Python => Toolchain::PYTHON,
            Self::JavaScript => Toolchain::JAVASCRIPT,
            Self::C => Toolchain::C,
            Self::Go => Toolchain::GO,
        }
    }

    /// The file that every plugin in it has.
    pub(crate) fn telling_file(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
            Self::Python => "plugin.py",
            Self::JavaScript => "plugin.js",
            Self::C => "plugin.c",
            Self::Go => "plugin.go",
        }
    }

    /// What a folder's plugin is written in.
    ///
    /// # Errors
    /// No file tells, or files of several languages do.
    pub(crate) fn of_folder(folder: &Path) -> Result<Self, WorkshopError> {
        let is_there = |language: &Self| folder.join(language.telling_file()).is_file();
        let found: Vec<Self> = Self::ALL.into_iter().filter(is_there).collect();
        let folder = folder.to_owned();
        match found.as_slice() {
            [only] => Ok(*only),
            [] if folder.join("plugin.ts").is_file() => Err(WorkshopError::TypeScript { folder }),
            [] => Err(WorkshopError::NoSource { folder }),
            several => {
                let files: Vec<&str> = several.iter().map(|language| language.telling_file()).collect();
                Err(WorkshopError::SeveralSources { folder, files: files.join(" and ") })
            }
        }
    }
}

impl FromStr for Language {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|language| language.name() == text);
        known.ok_or_else(|| match text {
            "golang" => "expected 'go'".to_owned(),
            "c++" | "cpp" => "expected 'c': there is no SDK for it of its own".to_owned(),
            "typescript" | "ts" | "js" => "expected 'javascript', whose compiler takes what tsc makes too".to_owned(),
            _ => "expected 'rust', 'python', 'javascript', 'c' or 'go'".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[track_caller]
    fn check(files: &[&str], expected: Result<Language, &str>) {
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|file| fs::write(folder.path().join(file), "").unwrap());
        match (Language::of_folder(folder.path()), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (found, expected) => panic!("{found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn one_file_tells_the_language() {
        check(&["Cargo.toml", "README.md"], Ok(Language::Rust));
        check(&["plugin.py", "config.pbtxt"], Ok(Language::Python));
        check(&["plugin.js", "package.json", "plugin.ts"], Ok(Language::JavaScript));
        check(&["plugin.c", "more.c"], Ok(Language::C));
        check(&["plugin.ts"], Err("tsc --module es2022"));
        check(&["plugin.go", "go.mod"], Ok(Language::Go));
        check(&["main.go"], Err("no Cargo.toml, plugin.py, plugin.js, plugin.c or plugin.go"));
        check(&["Cargo.toml", "plugin.js"], Err("Cargo.toml and plugin.js"));
    }

    #[test]
    fn languages_without_an_sdk_are_said_to_be_that() {
        assert_eq!("python".parse(), Ok(Language::Python));
        assert_eq!("go".parse(), Ok(Language::Go));
        for (text, part) in [("c++", "expected 'c'"), ("golang", "expected 'go'"), ("ruby", "expected 'rust'")] {
            assert!(text.parse::<Language>().unwrap_err().contains(part), "{text}");
        }
    }
}
