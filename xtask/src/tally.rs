//! Counting tests from what test runners print: cargo's `test result:` lines and pytest's closing line.

/// How many tests passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

// === impl Tally ===

impl Tally {
    /// Adds what `line` says, if it is a closing line of a test runner.
    pub(crate) fn read(&mut self, line: &str) {
        let line = without_colours(line);
        let cargo_counts =
            line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")).map(|(_, counts)| counts);
        let is_pytest = || line.starts_with("===") && line.contains(" in ");
        let counts = cargo_counts.or_else(|| is_pytest().then_some(line.trim_matches(['=', ' '])));
        for part in counts.unwrap_or_default().split([';', ',']) {
            let mut words = part.split_whitespace();
            let (Some(Ok(count)), Some(word)) = (words.next().map(str::parse::<u64>), words.next()) else { continue };
            match word {
                "passed" => self.passed += count,
                "failed" | "error" | "errors" => self.failed += count,
                _ => {}
            }
        }
    }

    pub(crate) fn add(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// The line without terminal colour sequences.
fn without_colours(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(part.split_once('m').map_or("", |(_, rest)| rest));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, passed: u64, failed: u64) {
        let mut tally = Tally::default();
        tally.read(line);
        assert_eq!(tally, Tally { passed, failed }, "{line}");
    }

    #[test]
    fn reads_the_closing_lines_of_cargo_and_pytest() {
        check("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s", 12, 0);
        check("test result: \u{1b}[31mFAILED\u{1b}[m. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out", 3, 2);
        check("========== 2 failed, 31 passed, 1 error in 12.34s ==========", 31, 3);
        check("============ 31 passed in 75.10s (0:01:15) ============", 31, 0);
    }

    #[test]
    fn other_lines_count_nothing() {
        check("running 12 tests", 0, 0);
        check("test a::b ... ok", 0, 0);
        check("12 passed the gate in 3 s", 0, 0);
    }
}
