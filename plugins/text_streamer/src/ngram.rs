//! What follows what in a text, and how to go on. Nothing here asks the host.
//!
//! The next token is drawn from those that followed the last `order - 1` tokens, or as many of them as were ever together. Costs:
//! memory of some 100 bytes per token and order; a draw is a search in a tree.

use std::collections::BTreeMap;

use nereid_sdk::Error;

use crate::tokens::tokens;

/// Contexts of more tokens are those of the text itself.
const ORDER_MAX: usize = 6;

/// A text that was learned.
#[derive(Debug)]
pub struct Ngrams {
    words: Vec<String>,
    numbers: BTreeMap<String, u32>,
    order: usize,
    /// By the tokens before it: each token that followed, and how often.
    followers: BTreeMap<Vec<u32>, BTreeMap<u32, u32>>,
}

/// A text that goes on.
#[derive(Debug)]
pub struct Continuation<'a> {
    ngrams: &'a Ngrams,
    last: Vec<u32>,
    temperature: f64,
    chance: u64,
}

// === impl Ngrams ===

impl Ngrams {
    /// Learns a text.
    ///
    /// # Errors
    /// The text has no words, or the order is out of its range.
    pub fn learn(text: &str, order: usize) -> Result<Self, Error> {
        if !(1..=ORDER_MAX).contains(&order) {
            return Err(Error::internal(format_args!(
                "parameter 'order' of config.pbtxt is {order}, expected 1 to {ORDER_MAX}"
            )));
        }
        let mut ngrams = Self { words: Vec::new(), numbers: BTreeMap::new(), order, followers: BTreeMap::new() };
        let text: Vec<u32> = tokens(text).into_iter().map(|token| ngrams.number(token)).collect();
        if text.is_empty() {
            return Err(Error::internal("the text to learn from has no words"));
        }
        for (place, token) in text.iter().enumerate() {
            for length in 0..order.min(place + 1) {
                let context = text.get(place - length..place).unwrap_or_default().to_vec();
                *ngrams.followers.entry(context).or_default().entry(*token).or_default() += 1;
            }
        }
        Ok(ngrams)
    }

    /// How many different tokens there are.
    pub fn vocabulary(&self) -> usize {
        self.words.len()
    }

    /// A text that goes on behind `prompt`. At temperature 0 with the commonest token, the first of equals in the text; at 1 with
    /// each as often as it was seen; above, rare ones are likelier. The same seed draws the same.
    pub fn go_on(&self, prompt: &str, temperature: f64, seed: u64) -> Continuation<'_> {
        // The first word of a prompt has no space in front, which it mostly had in the text.
        let spaced = |token: &str| self.numbers.get(&format!(" {token}"));
        let known = |(place, token): (usize, String)| match (place, self.numbers.get(&token)) {
            (0, exact) => spaced(&token).or(exact).copied(),
            (_, exact) => exact.or_else(|| spaced(&token)).copied(),
        };
        let last = tokens(prompt).into_iter().enumerate().map(known).collect::<Vec<_>>();
        // What stands before an unknown word says nothing about what follows it.
        let last = last.rsplit(Option::is_none).next().unwrap_or_default().iter().flatten().copied().collect();
        Continuation { ngrams: self, last, temperature, chance: seed }
    }

    fn number(&mut self, token: String) -> u32 {
        let next = self.words.len() as u32;
        *self.numbers.entry(token).or_insert_with_key(|token| {
            self.words.push(token.clone());
            next
        })
    }

    /// What followed the end of `last`: of the longest end that anything followed.
    fn followers(&self, last: &[u32]) -> Option<&BTreeMap<u32, u32>> {
        let longest = last.len().min(self.order - 1);
        (0..=longest).rev().find_map(|length| self.followers.get(last.get(last.len() - length..)?))
    }
}

// === impl Continuation ===

impl<'a> Iterator for Continuation<'a> {
    type Item = &'a str;

    /// Never the end: the caller has a limit.
    fn next(&mut self) -> Option<&'a str> {
        let followers = self.ngrams.followers(&self.last)?;
        let token = if self.temperature > 0.0 { self.draw(followers) } else { commonest(followers) }?;
        self.last.push(token);
        if self.last.len() > ORDER_MAX {
            self.last.remove(0);
        }
        self.ngrams.words.get(token as usize).map(String::as_str)
    }
}

impl Continuation<'_> {
    fn draw(&mut self, followers: &BTreeMap<u32, u32>) -> Option<u32> {
        let weight = |count: &u32| f64::from(*count).powf(1.0 / self.temperature);
        let sum: f64 = followers.values().map(weight).sum();
        if !sum.is_finite() {
            // So cold that the commonest is all.
            return commonest(followers);
        }
        let mut left = fraction(split_mix(&mut self.chance)) * sum;
        let drawn = followers.iter().find(|(_, count)| {
            left -= f64::from(**count).powf(1.0 / self.temperature);
            left < 0.0
        });
        drawn.or_else(|| followers.last_key_value()).map(|(token, _)| *token)
    }
}

/// The one that was seen most often, of equals the one that was seen first.
fn commonest(followers: &BTreeMap<u32, u32>) -> Option<u32> {
    let most = followers.values().max()?;
    followers.iter().find(|(_, count)| *count == most).map(|(token, _)| *token)
}

/// The next number of the generator SplitMix64.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// From 0 up to 1, without 1.
fn fraction(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "the cat saw the dog and the cat ran and the cat slept";

    fn told(order: usize, prompt: &str, temperature: f64, seed: u64, count: usize) -> String {
        Ngrams::learn(TEXT, order).unwrap().go_on(prompt, temperature, seed).take(count).collect()
    }

    #[test]
    fn the_commonest_follows_at_temperature_zero() {
        assert_eq!(told(2, "and the", 0.0, 1, 1), " cat");
        assert_eq!(told(3, "saw the", 0.0, 1, 1), " dog");
        // Of three that followed once the one that was seen first.
        assert_eq!(told(2, "a cat", 0.0, 1, 2), " saw the");
    }

    #[test]
    fn unknown_words_leave_what_is_behind_them() {
        assert_eq!(told(3, "saw quickly the", 0.0, 1, 1), " cat");
        assert_eq!(told(3, "xyzzy", 0.0, 1, 1), told(3, "", 0.0, 1, 1));
    }

    #[test]
    fn a_text_goes_on_beyond_its_end() {
        assert_eq!(told(3, "cat slept", 0.0, 1, 1), " cat");
    }

    #[test]
    fn the_same_seed_draws_the_same_and_another_another() {
        assert_eq!(told(2, "the", 1.0, 7, 50), told(2, "the", 1.0, 7, 50));
        assert_ne!(told(2, "the", 1.0, 7, 50), told(2, "the", 1.0, 8, 50));
    }

    #[test]
    fn tokens_are_drawn_as_often_as_they_were_seen() {
        let ngrams = Ngrams::learn(TEXT, 2).unwrap();
        let cats = (0..4000).filter(|seed| ngrams.go_on("the", 1.0, *seed).next() == Some(" cat")).count();
        // Two of three of what followed " the".
        assert!((2520..2810).contains(&cats), "{cats} of 4000");
    }

    #[test]
    fn what_cannot_be_learned_is_refused() {
        assert!(Ngrams::learn(" ", 3).unwrap_err().message().contains("no words"));
        assert!(Ngrams::learn(TEXT, 0).unwrap_err().message().contains("is 0, expected 1 to 6"));
    }

    #[test]
    fn generator_gives_the_published_numbers() {
        let mut state = 1_234_567;
        assert_eq!(split_mix(&mut state), 6_457_827_717_110_365_317);
        assert_eq!(split_mix(&mut state), 3_203_168_211_198_807_973);
    }
}
