//! Text in pieces that add up to it: a word or a mark, with the space in front. Nothing here asks the host.

/// The tokens of a text. Spaces and single line ends are one space, empty lines the end of a paragraph.
pub fn tokens(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        let word = rest.trim_start();
        let space = rest.len() - word.len();
        let Some(first) = word.chars().next() else { return found };
        let length = if is_of_a_word(first) {
            word.find(|character| !is_of_a_word(character)).unwrap_or(word.len())
        } else {
            first.len_utf8()
        };
        let (token, behind) = word.split_at(length);
        found.push(format!("{}{token}", separator(rest.split_at(space).0)));
        rest = behind;
    }
}

fn is_of_a_word(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '\'' | '’' | '-')
}

fn separator(space: &str) -> &'static str {
    match space.matches('\n').count() {
        _ if space.is_empty() => "",
        0 | 1 => " ",
        _ => "\n\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_marks_keep_the_space_in_front() {
        assert_eq!(tokens("Down, down!\nThe  end"), ["Down", ",", " down", "!", " The", " end"]);
        assert_eq!(tokens("it's \"late\""), ["it's", " \"", "late", "\""]);
        assert_eq!(tokens("one.\n \n two"), ["one", ".", "\n\ntwo"]);
        assert_eq!(tokens(" \n"), [""; 0]);
    }

    #[test]
    fn tokens_of_plain_text_add_up_to_it() {
        let text = "Grüße, “Alice”: (so it was)…\n\nDown.";
        assert_eq!(tokens(text).concat(), text);
    }
}
