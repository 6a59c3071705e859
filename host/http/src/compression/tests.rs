//! Both codings: round trips, every cut, tails and damage, the limit to the byte, the choice by `q`, arbitrary bytes.

use nereid_tensor::ALIGNMENT_BYTES;
use proptest::prelude::*;
use smallvec::SmallVec;

use super::*;

/// More than is done inline, on both sides.
const LARGE_BYTES: usize = 3 * INLINE_BYTES_MAX + 77;

const LIMITS: Unpacked = Unpacked { bytes_max: 4 << 20, json_bytes: 0 };

const CODINGS: [Coding; 2] = [Coding::Gzip, Coding::Deflate];

fn packed(data: &[u8], coding: Coding) -> Vec<u8> {
    // In uneven frames, as a response has them.
    let (first, rest) = data.split_at(data.len() / 3);
    let frames = [Bytes::copy_from_slice(first), Bytes::new(), Bytes::copy_from_slice(rest)];
    pack(FrameBody::from(SmallVec::from(frames)), coding).unwrap()
}

fn unpack(body: &[u8], coding: Coding, unpacked: Unpacked) -> Result<Bytes, InferError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(decompress(Bytes::copy_from_slice(body), coding, unpacked))
}

/// The one door: what a body unpacks to, or the text of its refusal.
fn check(body: &[u8], coding: Coding, expected: Result<&[u8], &str>) {
    match (unpack(body, coding, LIMITS), expected) {
        (Ok(unpacked), Ok(expected)) => assert!(unpacked == expected, "{} bytes came out", unpacked.len()),
        (Err(error), Err(expected)) => {
            assert_eq!(error.kind(), nereid_inference::ErrorKind::InvalidArgument);
            let said = error.message();
            assert!(said.contains(coding.name()) && said.contains(expected), "{said} instead of {expected}");
        }
        (outcome, expected) => panic!("{coding:?}: {outcome:?} instead of {expected:?}"),
    }
}

fn response_choice(accepted: &[&str]) -> &'static str {
    let mut headers = HeaderMap::new();
    for value in accepted {
        headers.append(header::ACCEPT_ENCODING, HeaderValue::from_str(value).unwrap());
    }
    response_coding(&headers).map_or("identity", Coding::name)
}

#[test]
fn bodies_of_every_size_come_back_whole() {
    for coding in CODINGS {
        for length in [0, 1, PIECE_BYTES, INLINE_BYTES_MAX, INLINE_BYTES_MAX + 1, LARGE_BYTES] {
            let data: Vec<u8> = (0..length).map(|index| (index * index / 7) as u8).collect();
            check(&packed(&data, coding), coding, Ok(&data));
        }
    }
}

#[test]
fn streams_of_other_writers_are_understood() {
    // From Python's `zlib.compress(b"nereid")`; then two gzip members, one after the other.
    let zlib = b"\x78\x9c\xcb\x4b\x2d\x4a\xcd\x4c\x01\x00\x08\xc0\x02\x78";
    check(zlib, Coding::Deflate, Ok(b"nereid"));
    let members = [packed(b"nere", Coding::Gzip), packed(b"id", Coding::Gzip)].concat();
    check(&members, Coding::Gzip, Ok(b"nereid"));
}

#[test]
fn every_cut_and_every_tail_is_refused() {
    let data: Vec<u8> = (0..2000).map(|index| (index * index / 7) as u8).collect();
    for coding in CODINGS {
        let whole = packed(&data, coding);
        for length in 0..whole.len() {
            check(&whole[..length], coding, Err("it ends too early"));
        }
        check(&[&whole[..], b"tail"].concat(), coding, Err("; send it again whole, or without compression"));
        let mut damaged = whole.clone();
        *damaged.last_mut().unwrap() ^= 1;
        check(&damaged, coding, Err("; send it again whole, or without compression"));
        check(b"{\"inputs\":[]}", coding, Err("after 0 decompressed bytes"));
    }
    let raw_deflate = &packed(&data, Coding::Deflate)[2..];
    check(raw_deflate, Coding::Deflate, Err("after 0 decompressed bytes"));
}

#[test]
fn what_unpacks_beyond_the_limit_is_refused_and_the_limit_itself_is_not() {
    for coding in CODINGS {
        for bytes_max in [0, 100, INLINE_BYTES_MAX, LARGE_BYTES] {
            let limits = Unpacked { bytes_max, json_bytes: 10 };
            let fits = packed(&vec![b' '; bytes_max], coding);
            assert_eq!(unpack(&fits, coding, limits).unwrap().len(), bytes_max);
            let error = unpack(&packed(&vec![b' '; bytes_max + 1], coding), coding, limits).unwrap_err();
            let text = format!(
                "Decompressed data size exceeds the maximum allowed value of {bytes_max} bytes. Use --http-max-input-size to increase the limit."
            );
            assert_eq!(error.message(), text);
        }
    }
}

#[test]
fn a_bomb_takes_no_more_memory_than_the_limit() {
    let bomb = packed(&vec![0; 64 << 20], Coding::Gzip);
    let bytes_max = 1 << 20;
    let body = Bytes::from(bomb);
    let mut inflation = Inflation::new(body, Coding::Gzip, Unpacked { bytes_max, json_bytes: 1 });
    assert!(inflation.advance(usize::MAX).is_err());
    assert!(inflation.gathered.len() <= bytes_max);
    assert!(inflation.gathered.capacity() < bytes_max + ALIGNMENT_BYTES, "{}", inflation.gathered.capacity());
}

#[test]
fn the_first_byte_after_the_json_is_aligned() {
    let data = vec![7; LARGE_BYTES];
    let unpacked = unpack(&packed(&data, Coding::Gzip), Coding::Gzip, Unpacked { json_bytes: 107, ..LIMITS }).unwrap();
    assert!((unpacked[107..].as_ptr() as usize).is_multiple_of(ALIGNMENT_BYTES));
}

#[test]
fn the_highest_q_wins_and_the_first_among_equals() {
    for (accepted, expected) in [
        (&[][..], "identity"),
        (&["gzip"], "gzip"),
        (&["GZIP"], "gzip"),
        (&["deflate, gzip"], "deflate"),
        (&["identity, gzip"], "identity"),
        (&["gzip;q=0.5, deflate;q=0.8, identity;q=0.7"], "deflate"),
        (&["br, zstd;q=0.9, gzip; q = 0.1"], "gzip"),
        (&["gzip;q=0"], "identity"),
        (&["gzip;q=0, *"], "identity"),
        (&["gzip;q=x, deflate;q=nan, identity;q=2"], "identity"),
        (&["gzip;q=0.2", "deflate;q=0.3"], "deflate"),
        (&[",;,=;q"], "identity"),
    ] {
        assert_eq!(response_choice(accepted), expected, "{accepted:?}");
    }
}

proptest! {
    #[test]
    fn whatever_is_packed_is_unpacked(data in proptest::collection::vec(any::<u8>(), 0..5000)) {
        for coding in CODINGS {
            prop_assert_eq!(&unpack(&packed(&data, coding), coding, LIMITS).unwrap()[..], &data[..]);
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_unpacked(body in proptest::collection::vec(any::<u8>(), 0..300), cut in 0..300_usize) {
        for coding in CODINGS {
            let _ = unpack(&body, coding, LIMITS);
            let mut mixed = packed(&body, coding);
            mixed.truncate(cut);
            mixed.extend_from_slice(&body);
            if let Err(error) = unpack(&mixed, coding, LIMITS) {
                prop_assert!(error.message().starts_with("the request body cannot be decompressed"), "{}", error);
            }
        }
    }

    #[test]
    fn any_accept_encoding_gives_an_answer(value in "[ -~]{0,60}") {
        prop_assert!(["identity", "gzip", "deflate"].contains(&response_choice(&[&value])));
    }
}
