//! LibTorch's words, as far as they help whoever sent the request.
//!
//! A failing execution comes with the interpreter's whole traceback; what went wrong is one sentence of it. The traceback
//! shows the model's code and goes to the log at the level of debugging.

/// What the interpreter writes before the sentence of an exception.
const EXCEPTIONS: [&str; 2] = ["RuntimeError: ", "torch.jit.Error: "];

/// The sentence that says what went wrong.
pub(crate) fn sentence(text: &str) -> &str {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let raised = || lines().rfind(|line| is_raised(line));
    lines().rev().find_map(behind_mark).or_else(raised).or_else(|| lines().next()).unwrap_or("it failed without a word")
}

fn behind_mark(line: &str) -> Option<&str> {
    EXCEPTIONS.iter().find_map(|mark| line.strip_prefix(mark))
}

/// `ValueError: the sum is negative`: an exception that the model's own code raises.
fn is_raised(line: &str) -> bool {
    let name = line.split_once(": ").map_or(line, |(name, _)| name);
    name.ends_with("Error") && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "._".contains(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_is_found_in_a_traceback() {
        let text = "The following operation failed in the TorchScript interpreter.\nTraceback of TorchScript (most recent \
                    call last):\n  File \"<string>\", line 3, in forward\n    x = a\n        ~ <--- HERE\nRuntimeError: mat1 \
                    and mat2 shapes cannot be multiplied (1x5 and 64x32)\n";
        assert_eq!(sentence(text), "mat1 and mat2 shapes cannot be multiplied (1x5 and 64x32)");
    }

    #[test]
    fn what_the_model_raises_keeps_its_name() {
        let text = "The following operation failed in the TorchScript interpreter.\nTraceback of TorchScript (most recent \
                    call last):\n  File \"x\", line 3\nAssertionError: the sum is negative\n";
        assert_eq!(sentence(text), "AssertionError: the sum is negative");
    }

    #[test]
    fn a_text_without_a_traceback_says_its_first_line() {
        assert_eq!(
            sentence("open file failed because of errno 2: x.pt\n\nmore"),
            "open file failed because of errno 2: x.pt"
        );
        assert_eq!(sentence(" \n"), "it failed without a word");
    }
}
