//! Texts with slips of the pen, for what reads texts that people write.

use crate::Random;

/// What slips are made of: what structures texts, and numbers at the edges of types.
const PIECES: [&str; 22] = [
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'",
    "=",
    ",",
    ".",
    "#",
    "\n",
    "\\",
    "\u{0}",
    "é",
    "-1",
    "0",
    "1e400",
    "18446744073709551615",
    "99999999999999999999",
    "true",
    "[[",
    "nan",
];
const SLIPS_MAX: u64 = 6;

/// The text with one slip to a few: pieces that are put in, parts that are left out, doubled or moved.
pub fn garbled(random: &mut Random, text: &str) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    for _ in 0..=random.below(SLIPS_MAX) {
        let at = random.index(letters.len() + 1);
        let end = (at + random.index(20)).min(letters.len());
        match random.below(4) {
            0 => {
                let piece = PIECES.get(random.index(PIECES.len())).copied().unwrap_or_default();
                letters.splice(at..at, piece.chars());
            }
            1 => drop(letters.drain(at..end)),
            2 => {
                let part: Vec<char> = letters.iter().take(end).skip(at).copied().collect();
                letters.splice(at..at, part);
            }
            _ => {
                let part: Vec<char> = letters.drain(at..end).collect();
                let to = random.index(letters.len() + 1);
                letters.splice(to..to, part);
            }
        }
    }
    letters.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_differ_and_have_no_other_letters() {
        let text = "[limits]\nmemory_mib = 64\n";
        let mut random = Random::new(3);
        let texts: Vec<String> = (0..100).map(|_| garbled(&mut random, text)).collect();
        assert!(texts.iter().filter(|garbled| *garbled != text).count() > 80, "{texts:?}");
        let known = |letter: char| text.contains(letter) || PIECES.concat().contains(letter);
        assert!(texts.concat().chars().all(known), "{texts:?}");
        assert!((0..100).any(|_| !garbled(&mut random, "").is_empty()), "something comes of nothing");
    }
}
