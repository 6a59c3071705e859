//! The few facts that are needed of a guest's Cargo.toml: its name, its library's and where its component goes.
//!
//! This reads the small part of TOML that these take (tables, strings, lists of strings) and refuses the rest of it where
//! it would matter; a TOML library would cost those who use this their quick build.

#[derive(Debug, PartialEq, Eq)]
pub struct Manifest {
    pub name: String,
    /// The library's name where it has one of its own.
    library: Option<String>,
    /// Paths from the root of the repository.
    pub installs: Vec<String>,
}

// === impl Manifest ===

impl Manifest {
    /// Reads one.
    ///
    /// # Errors
    /// There is no name, or it is written in a way that is not understood here.
    pub fn parse(text: &str) -> Result<Self, String> {
        let name = value_of(text, "package", "name").ok_or("no name in [package]")?;
        let name = strings(&name)?.pop().ok_or("the name in [package] is not a string")?;
        let installs = value_of(text, "package.metadata.nereid", "installs");
        let installs = installs.map_or(Ok(Vec::new()), |value| strings(&value))?;
        let library = value_of(text, "lib", "name").map(|value| strings(&value)).transpose()?;
        Ok(Self { name, library: library.and_then(|mut names| names.pop()), installs })
    }

    /// Cargo's name of the file: dashes become underscores.
    pub fn artifact_name(&self) -> String {
        self.library.clone().unwrap_or_else(|| self.name.replace('-', "_"))
    }
}

/// The text behind `key =` in `[table]`, up to the end of its list if it is one.
fn value_of(text: &str, table: &str, key: &str) -> Option<String> {
    let header = format!("[{table}]");
    let mut lines = text.lines().skip_while(|line| line.trim() != header).skip(1);
    let mut value = lines.by_ref().take_while(|line| !line.trim_start().starts_with('[')).find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == key).then(|| value.trim().to_owned())
    })?;
    while value.starts_with('[') && !value.contains(']') {
        value.push_str(lines.next()?.trim());
    }
    Some(value)
}

/// Every quoted string of a value, in order.
fn strings(value: &str) -> Result<Vec<String>, String> {
    let parts: Vec<_> = value.split('"').collect();
    if parts.len() % 2 == 0 || value.contains('\\') || value.contains('\'') {
        return Err(format!("cannot read {value}: write plain \"strings\""));
    }
    Ok(parts.into_iter().skip(1).step_by(2).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, name: &str, installs: &[&str]) {
        let manifest = Manifest::parse(text).unwrap();
        assert_eq!(
            (manifest.name.as_str(), manifest.installs),
            (name, installs.iter().map(|path| (*path).to_owned()).collect())
        );
    }

    #[test]
    fn reads_name_and_installs() {
        check("[package]\nname = \"a-b\"\n", "a-b", &[]);
        check(
            "[package]\nname = \"a\" # x\n[package.metadata.nereid]\ninstalls = [\"m/1/model.wasm\"]\n",
            "a",
            &["m/1/model.wasm"],
        );
        check(
            "[package]\nversion = \"1\"\nname = \"a\"\n[package.metadata.nereid]\ninstalls = [\n  \"x\",\n  \"y\",\n]\n[lib]\nname = \"z\"\n",
            "a",
            &["x", "y"],
        );
    }

    #[test]
    fn the_component_has_the_library_s_name() {
        let artifact = |text: &str| Manifest::parse(text).unwrap().artifact_name();
        assert_eq!(artifact("[package]\nname = \"a-b\"\n[lib]\ncrate-type = [\"cdylib\"]\n"), "a_b");
        assert_eq!(artifact("[package]\nname = \"a-b\"\n[lib]\nname = \"c\"\n"), "c");
    }

    #[test]
    fn a_name_of_another_table_does_not_count() {
        assert_eq!(
            Manifest::parse("[lib]\nname = \"z\"\n[package]\n[dependencies]\nname = \"y\"\n").unwrap_err(),
            "no name in [package]"
        );
    }

    #[test]
    fn what_it_cannot_read_is_refused() {
        let text = "[package]\nname = \"a\"\n[package.metadata.nereid]\ninstalls = ['x']\n";
        assert!(Manifest::parse(text).unwrap_err().contains("plain \"strings\""));
    }
}
