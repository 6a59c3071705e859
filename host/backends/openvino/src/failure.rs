//! OpenVINO's words, as far as they help: its texts name the source files of the library first and the reason last.

/// The sentence that says what went wrong; without one, the status.
pub(crate) fn sentence(text: &str, status: i32) -> String {
    let is_place = |line: &str| line.starts_with("Exception from ") || line.starts_with("Check '");
    let reason = text.lines().map(str::trim).rfind(|line| !line.is_empty() && !is_place(line));
    reason.map_or_else(|| format!("status {status}"), |line| line.trim_end_matches('.').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_stands_last() {
        let text = "Exception from src/inference/src/cpp/core.cpp:84:\nCheck 'x' failed at y.cpp:1:\nFrontEnd API failed with \
                    GeneralFailure:\nir: Could not open the file: \"/m.xml\"\n\n";
        assert_eq!(sentence(text, -1), "ir: Could not open the file: \"/m.xml\"");
    }

    #[test]
    fn without_words_the_status_is_said() {
        assert_eq!(sentence("Exception from x.cpp:1:\n\n", -1), "status -1");
        assert_eq!(sentence("", -14), "status -14");
    }
}
