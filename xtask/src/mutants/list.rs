//! The list of faults: blocks of `fault:` (its name), `file:` (below `host`), and lines that are replaced, `-` before and `+` after, as in
//! a patch without places. The text must be there exactly once, so that a list that has been left behind is noticed.

use crate::failure::Failure;

/// One fault to plant.
#[derive(Debug, Default)]
pub(crate) struct Fault {
    pub(crate) name: String,
    pub(crate) file: String,
    old: Vec<String>,
    new: Vec<String>,
}

/// Reads the whole list.
pub(crate) fn parse(text: &str) -> Result<Vec<Fault>, Failure> {
    let mut faults: Vec<Fault> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let misplaced = || Failure::new(format!("line {} of the list of faults: '{line}'", index + 1));
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix("fault: ") {
            faults.push(Fault { name: name.to_owned(), ..Fault::default() });
            continue;
        }
        let fault = faults.last_mut().ok_or_else(misplaced)?;
        match (line.strip_prefix("file: "), line.strip_prefix('-'), line.strip_prefix('+')) {
            (Some(file), _, _) => file.clone_into(&mut fault.file),
            (_, Some(old), _) => fault.old.push(old.to_owned()),
            (_, _, Some(new)) => fault.new.push(new.to_owned()),
            _ => return Err(misplaced()),
        }
    }
    match faults.iter().find(|fault| fault.file.is_empty() || fault.old.is_empty()) {
        Some(fault) => Err(Failure::new(format!("fault '{}' has no file, or nothing to replace", fault.name))),
        None => Ok(faults),
    }
}

// === impl Fault ===

impl Fault {
    /// The folder of the crate that it is in.
    pub(crate) fn crate_name(&self) -> &str {
        self.file.split('/').next().unwrap_or_default()
    }

    /// The source with the fault in it.
    pub(crate) fn plant(&self, source: &str) -> Result<String, Failure> {
        let (old, new) = (self.old.join("\n"), self.new.join("\n"));
        match source.matches(&old).count() {
            1 => Ok(source.replace(&old, &new)),
            found => Err(Failure::new(format!(
                "fault '{}': expected its text once in {}, found it {found} times:\n{old}",
                self.name, self.file
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str =
        "# what it is\nfault: off by one\nfile: a.rs\n-x < 1\n-y\n+x <= 1\n\nfault: gone\nfile: b.rs\n-z();\n";

    #[test]
    fn reads_blocks_and_plants_them() {
        let faults = parse(LIST).unwrap();
        assert_eq!(faults.iter().map(|fault| &*fault.name).collect::<Vec<_>>(), ["off by one", "gone"]);
        assert_eq!(faults[0].plant("if x < 1\ny {}").unwrap(), "if x <= 1 {}");
        assert_eq!(faults[1].plant("a; z(); b").unwrap(), "a;  b");
    }

    #[test]
    fn refuses_what_is_not_there_exactly_once() {
        let faults = parse(LIST).unwrap();
        assert!(faults[1].plant("").unwrap_err().to_string().contains("found it 0 times"));
        assert!(faults[1].plant("z();z();").unwrap_err().to_string().contains("found it 2 times"));
        assert!(parse("-x").is_err() && parse("fault: x\nfile: y").is_err() && parse("fault: x\n?").is_err());
    }
}
