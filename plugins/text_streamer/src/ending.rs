//! Where a streamed text ends before a word that the client named. Nothing here asks the host.
//!
//! The word may come in several pieces, so what could be its beginning is held back until it is known not to be.

/// Cuts a text before the first occurrence of a word.
#[derive(Debug)]
pub struct Ending {
    word: Option<String>,
    held: String,
}

/// What may be shown after a piece.
#[derive(Debug, PartialEq, Eq)]
pub enum Shown {
    /// So much, perhaps nothing, and more may come.
    More(String),
    /// So much, and that is the end.
    End(String),
}

// === impl Ending ===

impl Ending {
    /// An ending at a word; none, and an empty one, never come.
    pub fn at(word: Option<String>) -> Self {
        Self { word: word.filter(|word| !word.is_empty()), held: String::new() }
    }

    /// Takes the next piece.
    pub fn push(&mut self, piece: &str) -> Shown {
        self.held.push_str(piece);
        let Some(word) = &self.word else { return Shown::More(std::mem::take(&mut self.held)) };
        if let Some((before, _)) = self.held.split_once(word.as_str()) {
            return Shown::End(before.to_owned());
        }
        let begun = (1..word.len()).rev().filter(|length| word.is_char_boundary(*length));
        let begun = begun.map(|length| word.split_at(length).0).find(|start| self.held.ends_with(start));
        let shown = self.held.len() - begun.map_or(0, str::len);
        let held = self.held.split_off(shown);
        Shown::More(std::mem::replace(&mut self.held, held))
    }

    /// What was held back when no more comes.
    pub fn rest(self) -> String {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(word: &str, pieces: &[&str]) -> (Vec<String>, bool) {
        let mut ending = Ending::at(Some(word.to_owned()));
        let mut shown = Vec::new();
        for piece in pieces {
            match ending.push(piece) {
                Shown::More(text) => shown.push(text),
                Shown::End(text) => return ([shown, vec![text]].concat(), true),
            }
        }
        shown.push(ending.rest());
        (shown, false)
    }

    #[test]
    fn the_text_ends_before_the_word() {
        assert_eq!(cut("cat", &["a dog", " and a cat", "!"]), (vec!["a dog".into(), " and a ".into()], true));
    }

    #[test]
    fn a_word_in_pieces_is_found_and_nothing_of_it_was_shown() {
        assert_eq!(cut(" rabbit-hole", &["the", " rab", "bit", "-hole"]).0.concat(), "the");
    }

    #[test]
    fn what_was_only_a_beginning_is_shown() {
        assert_eq!(cut("abac", &["ab", "ab", "x"]), (vec!["".into(), "ab".into(), "abx".into(), "".into()], false));
        assert_eq!(cut("abac", &["aba"]), (vec!["".into(), "aba".into()], false));
    }

    #[test]
    fn letters_of_several_bytes_are_not_torn() {
        assert_eq!(cut("…ü", &["x…"]), (vec!["x".into(), "…".into()], false));
    }

    #[test]
    fn without_a_word_everything_is_shown_at_once() {
        for word in [None, Some(String::new())] {
            assert_eq!(Ending::at(word).push("all"), Shown::More("all".into()));
        }
    }
}
