//! What a configuration claims of a file, and whether it is true. Nothing here asks the host.
//!
//! A claim is a parameter: `MD5:1/model.onnx`, as Triton's agent of this name has it, or `SHA256:1/model.onnx`, and the digest in
//! hexadecimal digits.

use md5::Md5;
use sha2::{Digest, Sha256};

/// A file, and what its digest is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    kind: Kind,
    /// Below the model's directory.
    pub path: String,
    /// In small letters.
    expected: String,
}

/// How a digest is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Md5,
    Sha256,
}

/// A digest that is being made, piece by piece.
#[derive(Debug)]
pub struct Check {
    claim: Claim,
    hasher: Hasher,
}

#[derive(Debug)]
enum Hasher {
    Md5(Md5),
    Sha256(Box<Sha256>),
}

// === impl Claim ===

impl Claim {
    /// From a parameter's name and value.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(name: &str, value: &str) -> Result<Self, String> {
        let (kind, path) = name.split_once(':').ok_or_else(|| expected(name))?;
        let (kind, digits) = match kind {
            "MD5" => (Kind::Md5, 32),
            "SHA256" => (Kind::Sha256, 64),
            _ => return Err(expected(name)),
        };
        if path.is_empty() || path.starts_with('/') || path.split('/').any(|part| part == "..") {
            return Err(format!(
                "parameter '{name}': expected a path below the model's directory, such as 1/model.onnx"
            ));
        }
        if value.len() != digits || !value.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(format!("parameter '{name}' is '{value}': expected {digits} hexadecimal digits"));
        }
        Ok(Self { kind, path: path.to_owned(), expected: value.to_ascii_lowercase() })
    }

    /// Begins to compare a file's bytes with it.
    pub fn check(self) -> Check {
        let hasher = match self.kind {
            Kind::Md5 => Hasher::Md5(Md5::new()),
            Kind::Sha256 => Hasher::Sha256(Box::default()),
        };
        Check { claim: self, hasher }
    }
}

fn expected(name: &str) -> String {
    format!("parameter '{name}': expected MD5:PATH or SHA256:PATH")
}

// === impl Check ===

impl Check {
    /// The next bytes of the file.
    pub fn add(&mut self, piece: &[u8]) {
        match &mut self.hasher {
            Hasher::Md5(hasher) => hasher.update(piece),
            Hasher::Sha256(hasher) => hasher.update(piece),
        }
    }

    /// Compares.
    ///
    /// # Errors
    /// The file is another one, in words.
    pub fn finish(self) -> Result<(), String> {
        let found = match self.hasher {
            Hasher::Md5(hasher) => hex(&hasher.finalize()),
            Hasher::Sha256(hasher) => hex(&hasher.finalize()),
        };
        let Claim { path, expected, .. } = self.claim;
        if found == expected {
            return Ok(());
        }
        Err(format!("'{path}' is not the file that it should be: its digest is {found}, expected {expected}"))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, value: &str, content: &[u8]) -> Result<(), String> {
        let mut check = Claim::parse(name, value)?.check();
        content.chunks(2).for_each(|piece| check.add(piece));
        check.finish()
    }

    #[test]
    fn a_file_is_the_one_that_was_named_or_it_is_told() {
        // Of `printf abc | md5sum` and `printf abc | sha256sum`.
        let md5 = "900150983cd24fb0d6963f7d28e17f72";
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(check("MD5:1/model", md5, b"abc"), Ok(()));
        assert_eq!(check("MD5:1/model", &md5.to_uppercase(), b"abc"), Ok(()));
        assert_eq!(check("SHA256:1/model", sha256, b"abc"), Ok(()));
        let found = check("MD5:1/model", md5, b"abd").unwrap_err();
        assert!(found.starts_with("'1/model' is not the file that it should be: its digest is 4911e516"), "{found}");
    }

    #[test]
    fn claims_that_mean_nothing_are_refused() {
        for (name, value, words) in [
            ("1/model", "00", "expected MD5:PATH or SHA256:PATH"),
            ("CRC:1/model", "00", "expected MD5:PATH or SHA256:PATH"),
            ("MD5:../other/1/model", "00", "expected a path below the model's directory"),
            ("MD5:/etc/passwd", "00", "expected a path below the model's directory"),
            ("MD5:1/model", "abc", "expected 32 hexadecimal digits"),
            ("SHA256:1/model", &"g".repeat(64), "expected 64 hexadecimal digits"),
        ] {
            let found = check(name, value, b"").unwrap_err();
            assert!(found.contains(words), "{name}: {found}");
        }
    }
}
