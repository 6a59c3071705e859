//! Tokenizers that were read lately: what one instance of a plugin reads, the others find, and so does the next generation.
//!
//! Invariant: two definitions with different bytes or options are never taken for each other. Costs a hash of the definition;
//! what a few tokenizers occupy stays until others push them out.

use std::{
    collections::VecDeque,
    sync::{Arc, LazyLock},
};

use nereid_operations::{Budget, OperationError, Tokenizer, TokenizerOptions};
use parking_lot::Mutex;

/// Tokenizers that are kept, over all plugins, whether or not somebody has them open.
const SHELF_MAX: usize = 8;

/// The newest at the end.
static SHELF: LazyLock<Mutex<VecDeque<Read>>> = LazyLock::new(Mutex::default);

struct Read {
    digest: blake3::Hash,
    options: TokenizerOptions,
    tokenizer: Arc<Tokenizer>,
}

/// The tokenizer that the definition describes.
///
/// # Errors
/// It describes none.
pub(crate) fn get_or_read(
    definition: &[u8],
    options: TokenizerOptions,
    budget: Budget,
) -> Result<Arc<Tokenizer>, OperationError> {
    let digest = blake3::hash(definition);
    let is_it = |read: &Read| read.digest == digest && read.options == options;
    if let Some(read) = SHELF.lock().iter().find(|read| is_it(read)) {
        return Ok(read.tokenizer.clone());
    }
    // Not under the lock: it takes as long as the file is large. Two that read the same do it twice, and keep one.
    let tokenizer = Arc::new(Tokenizer::new(definition, options, budget)?);
    let mut shelf = SHELF.lock();
    if let Some(read) = shelf.iter().find(|read| is_it(read)) {
        return Ok(read.tokenizer.clone());
    }
    if shelf.len() == SHELF_MAX {
        shelf.pop_front();
    }
    shelf.push_back(Read { digest, options, tokenizer: tokenizer.clone() });
    Ok(tokenizer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDPIECE: &str = include_str!("../../operations/tests/golden/wordpiece.tokenizer.json");

    fn read(definition: &str, length_max: Option<u32>) -> Arc<Tokenizer> {
        let options = TokenizerOptions { length_max, cuts_beginning: false };
        get_or_read(definition.as_bytes(), options, Budget::new(1 << 20)).unwrap()
    }

    /// In one test, because there is one shelf: a second one beside it would push out what this one looks for.
    #[test]
    fn a_definition_is_read_once_another_is_another_and_the_shelf_does_not_grow() {
        let first = read(WORDPIECE, Some(9));
        assert!(Arc::ptr_eq(&first, &read(WORDPIECE, Some(9))));
        assert!(!Arc::ptr_eq(&first, &read(WORDPIECE, Some(8))));
        let other = format!("{WORDPIECE} ");
        assert!(!Arc::ptr_eq(&first, &read(&other, Some(9))));
        for length_max in 100..100 + 3 * SHELF_MAX as u32 {
            read(WORDPIECE, Some(length_max));
        }
        assert_eq!(SHELF.lock().len(), SHELF_MAX);
        assert!(!Arc::ptr_eq(&first, &read(WORDPIECE, Some(9))), "the oldest is gone");
    }
}
