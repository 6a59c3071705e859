//! Frames over a real socket, and what a hostile other side may send.

use std::{io::Write as _, os::fd::AsFd as _, thread, time::Duration};

use nereid_tensor::Tensor;
use serde_json::{Value, json};

use super::*;
use crate::payload;

const LIMIT: u64 = 64 << 20;
const SOON: Duration = Duration::from_secs(20);

fn pair() -> (Channel, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (Channel::new(ours, LIMIT), theirs)
}

fn receive(channel: &mut Channel) -> Result<Received, ChannelError> {
    channel.receive(Some(Instant::now() + SOON))
}

/// Sends raw bytes, with a file perhaps, and returns what the host makes of it.
fn check_refused(bytes: &[u8], file: Option<BorrowedFd<'_>>, expected: &str) {
    let (mut channel, theirs) = pair();
    Channel::new(theirs, LIMIT).write(bytes, None, file).unwrap();
    let error = receive(&mut channel).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

fn check_round_trip(elements: usize) {
    let (mut channel, theirs) = pair();
    let values: Vec<i32> = (0..elements as i32).collect();
    let sending = thread::spawn(move || {
        let mut outgoing = Outgoing::default();
        let row = outgoing.add("X", &Tensor::from_elements([elements as u64], &values).unwrap());
        Channel::new(theirs, LIMIT).send(&json!({ "in": [row] }), &outgoing, None).unwrap();
        values
    });
    let received = receive(&mut channel).unwrap();
    let header: Value = serde_json::from_slice(&received.header).unwrap();
    let rows = serde_json::from_value(header["in"].clone()).unwrap();
    let read = payload::tensors(rows, &received.payload).unwrap();
    assert_eq!(read[0].tensor.elements::<i32>().unwrap().as_ref(), sending.join().unwrap());
}

#[test]
fn small_and_large_payloads_arrive_as_they_were() {
    for elements in [0, 1, 1_000, 16_384, 16_385, 3_000_000] {
        check_round_trip(elements);
    }
}

#[test]
fn frames_that_arrive_together_keep_their_files() {
    let (mut channel, theirs) = pair();
    let theirs = Channel::new(theirs, LIMIT);
    for elements in [1, 20_000, 2, 30_000] {
        let mut outgoing = Outgoing::default();
        outgoing.add("X", &Tensor::from_elements([elements], &vec![1_i32; elements as usize]).unwrap());
        theirs.send(&json!({}), &outgoing, None).unwrap();
    }
    let sizes = [(); 4].map(|()| receive(&mut channel).unwrap().payload.len());
    assert_eq!(sizes, [4, 80_000, 8, 120_000]);
}

#[test]
fn descriptors_that_belong_to_no_frame_are_not_collected() {
    let (mut channel, theirs) = pair();
    let theirs = Channel::new(theirs, LIMIT);
    let device = File::open("/dev/null").unwrap();
    for _ in 0..=DESCRIPTORS_MAX {
        let frame = [Head::of(2, 0).encode().as_slice(), b"{}"].concat();
        theirs.write(&frame, None, Some(device.as_fd())).unwrap();
    }
    let refused = (0..=DESCRIPTORS_MAX).find_map(|_| receive(&mut channel).err());
    assert!(matches!(refused, Some(ChannelError::Malformed(text)) if text == "descriptors that belong to no frame"));
}

#[test]
fn what_is_no_frame_is_refused() {
    check_refused(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", None, "begins with NPY2");
    let in_file = Head { place: Place::File, header_bytes: 2, payload_bytes: 100_000 }.encode();
    let framed = [in_file.as_slice(), b"{}"].concat();
    check_refused(&framed, None, "a payload in a file, and no file");
    let (reader, _writer) = std::io::pipe().unwrap();
    check_refused(&framed, Some(reader.as_fd()), "a file that is no memory file");
    let device = File::open("/dev/zero").unwrap();
    check_refused(&framed, Some(device.as_fd()), "a file that is no memory file");
    let short = memfd_create("short", MemfdFlags::ALLOW_SEALING).unwrap();
    check_refused(&framed, Some(short.as_fd()), "a payload of 100000 bytes in a file of 0");
}

#[test]
fn a_frame_that_stops_in_the_middle_is_an_end() {
    let (mut channel, mut theirs) = pair();
    theirs.write_all(&Head::of(100, 0).encode()).unwrap();
    theirs.write_all(b"{\"op\":").unwrap();
    drop(theirs);
    assert!(matches!(receive(&mut channel), Err(ChannelError::Closed)));
}

#[test]
fn nobody_waits_beyond_the_deadline_for_one_who_trickles() {
    let (mut channel, mut theirs) = pair();
    theirs.write_all(b"NPY2").unwrap();
    let outcome = channel.receive(Some(Instant::now() + Duration::from_millis(20)));
    assert!(matches!(outcome, Err(ChannelError::TimedOut)));
}
