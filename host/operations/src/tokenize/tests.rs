//! What is refused, and what rows look like. Agreement with the library's other face: tests/tokenizers.rs.

use super::*;
use crate::Fault;

const WORDPIECE: &[u8] = include_bytes!("../../tests/golden/wordpiece.tokenizer.json");

fn budget() -> Budget {
    Budget::new(64 << 20)
}

fn wordpiece(options: TokenizerOptions) -> Tokenizer {
    Tokenizer::new(WORDPIECE, options, budget()).unwrap()
}

fn texts(values: &[&[u8]]) -> Tensor {
    Tensor::from_byte_strings([values.len() as u64], values).unwrap()
}

const PLAIN: EncodeOptions = EncodeOptions { special_tokens: true, length: None };

#[track_caller]
fn check_refused(outcome: Result<impl fmt::Debug, OperationError>, fault: Fault, part: &str) {
    let error = outcome.unwrap_err();
    assert!(error.fault() == fault && error.to_string().contains(part), "{error}");
}

#[test]
fn what_is_no_tokenizer_is_refused() {
    let made = |bytes: &[u8]| Tokenizer::new(bytes, TokenizerOptions::default(), budget());
    check_refused(made(b"{"), Fault::Argument, "the definition is no tokenizer.json: ");
    check_refused(made(br#"{"model": {"type": "Oracle"}}"#), Fault::Argument, "no tokenizer.json");
    check_refused(made(b"\xff\xfe"), Fault::Argument, "no tokenizer.json");
    let large = vec![b' '; TOKENIZER_BYTES_MAX as usize + 1];
    check_refused(made(&large), Fault::Limit, "expected at most 33554432");
    let poor = Tokenizer::new(WORDPIECE, TokenizerOptions::default(), Budget::new(1_000));
    check_refused(poor, Fault::Limit, "are left of the call's host memory");
}

#[test]
fn texts_that_cannot_be_read_are_named() {
    let tokenizer = wordpiece(TokenizerOptions::default());
    let encode = |texts: &Tensor, pairs| tokenizer.encode(texts, pairs, PLAIN, budget());
    let numbers = Tensor::from_elements([1], &[1_i64]).unwrap();
    check_refused(encode(&numbers, None), Fault::Argument, "is of INT64, expected BYTES");
    check_refused(encode(&texts(&[b"a", b"\xff"]), None), Fault::Argument, "element 1 is not UTF-8");
    let (two, one) = (texts(&[b"a", b"b"]), texts(&[b"c"]));
    check_refused(encode(&two, Some(&one)), Fault::Argument, "has 2 texts, the second 1: expected as many");
    let long = vec![b'a'; TOKENIZED_BYTES_MAX + 1];
    check_refused(
        encode(&texts(&[&long]), None),
        Fault::Limit,
        "element 0 has 1048577 bytes, expected at most 1048576",
    );
}

#[test]
fn rows_are_as_long_as_asked_for_and_no_longer() {
    let tokenizer = wordpiece(TokenizerOptions { length_max: Some(5), cuts_beginning: true });
    let encode = |length| {
        let options = EncodeOptions { length: Some(length), ..PLAIN };
        tokenizer.encode(&texts(&[b"the host owns the protocols"]), None, options, budget())
    };
    let encoded = encode(7).unwrap();
    assert_eq!(encoded.mask.elements::<i64>().unwrap().as_ref(), [1, 1, 1, 1, 1, 0, 0]);
    assert_eq!(encoded.ids.shape(), &Shape::new(&[1, 7]));
    check_refused(encode(4), Fault::Argument, "a text has 5 tokens, expected at most the length of 4");
    let last = tokenizer.decode(&encoded.ids, true, budget()).unwrap();
    assert!(last.byte_strings().next().unwrap().ends_with(b"protocols"), "{last:?}");
}

#[test]
fn a_length_of_the_file_that_no_memory_holds_is_refused() {
    let definition = String::from_utf8(WORDPIECE.to_vec()).unwrap();
    for length in [u64::from(u32::MAX), u64::MAX] {
        let padded = definition.replace("\"BatchLongest\"", &format!("{{\"Fixed\": {length}}}"));
        assert_ne!(padded, definition);
        let tokenizer = Tokenizer::new(padded.as_bytes(), TokenizerOptions::default(), budget()).unwrap();
        let encoded = tokenizer.encode(&texts(&[b"one"]), None, PLAIN, budget());
        check_refused(encoded, Fault::Limit, "host memory");
    }
}

#[test]
fn no_texts_are_no_rows() {
    let encoded = wordpiece(TokenizerOptions::default()).encode(&texts(&[]), None, PLAIN, budget()).unwrap();
    assert_eq!(encoded.ids.shape(), &Shape::new(&[0, 0]));
}

#[test]
fn numbers_that_are_no_tokens_are_refused_or_skipped() {
    let tokenizer = wordpiece(TokenizerOptions::default());
    let decode = |ids: &Tensor| tokenizer.decode(ids, true, budget());
    check_refused(
        decode(&Tensor::from_elements([1], &[-1_i64]).unwrap()),
        Fault::Argument,
        "is negative or beyond 32 bits",
    );
    check_refused(decode(&Tensor::from_elements([1], &[0.5_f32]).unwrap()), Fault::Argument, "expected whole numbers");
    let beyond = decode(&Tensor::from_elements([2, 1], &[4_000_000_000_u32, 1]).unwrap()).unwrap();
    assert_eq!(beyond.shape(), &Shape::new(&[2]));
    let empty = Tensor::new(DataType::Int64, Shape::new(&[1 << 40, 0]), Vec::new().into()).unwrap();
    check_refused(decode(&empty), Fault::Limit, "are left of the call's host memory");
}

#[test]
fn tokens_have_numbers_and_numbers_tokens() {
    let tokenizer = wordpiece(TokenizerOptions::default());
    assert_eq!(tokenizer.token_id("[CLS]"), Some(2));
    assert_eq!(tokenizer.token(2).as_deref(), Some("[CLS]"));
    assert_eq!((tokenizer.token_id("no such token"), tokenizer.token(u32::MAX)), (None, None));
}
