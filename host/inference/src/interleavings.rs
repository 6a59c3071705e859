//! The response channel and the line of answers, under the orders in which threads can take their steps: all of them where
//! there are few, many where there are too many. A lost wake-up is a deadlock, which shuttle reports with the order that leads to it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use nereid_sync::{
    shuttle::{check_dfs, check_pct, future::block_on},
    thread,
};

use crate::{
    InferError, InferResponse, RESPONSES_BUFFERED_MAX, ResponseOrder, ResponseSender, ResponseStream, response_channel,
};

/// Orders tried where there are too many.
const ORDERS: usize = 2_000;

/// How many times an order departs from running each thread as long as it can.
const DEPARTURES: usize = 3;

/// Under every order.
fn check_all(story: impl Fn() + Send + Sync + 'static) {
    check_dfs(story, None);
}

/// Under many.
fn check_many(story: impl Fn() + Send + Sync + 'static) {
    check_pct(story, ORDERS, DEPARTURES);
}

fn answer() -> Result<InferResponse, InferError> {
    Ok(InferResponse::default())
}

#[test]
fn the_only_response_always_arrives() {
    check_all(|| {
        let (sender, stream) = response_channel();
        let answering = thread::spawn(move || sender.respond(answer()));
        assert!(block_on(stream.single()).is_ok());
        answering.join().unwrap();
    });
}

#[test]
fn a_forgotten_request_always_ends_with_an_error() {
    check_all(|| {
        let (sender, stream) = response_channel();
        let forgetting = thread::spawn(move || drop(sender));
        assert!(block_on(stream.single()).is_err());
        forgetting.join().unwrap();
    });
}

#[test]
fn whoever_waits_for_the_client_to_go_notices_it() {
    check_all(|| {
        let (sender, stream) = response_channel();
        let leaving = thread::spawn(move || drop(stream));
        block_on(sender.cancelled());
        assert!(sender.is_cancelled());
        leaving.join().unwrap();
    });
}

#[test]
fn a_response_and_a_client_that_goes_do_not_wait_for_each_other() {
    check_all(|| {
        let (mut sender, stream) = response_channel();
        let leaving = thread::spawn(move || drop(stream));
        block_on(sender.send(answer()));
        sender.respond(answer());
        leaving.join().unwrap();
    });
}

/// More responses than there is room for, and a reader that takes `read` of them before it goes.
fn stream_to(read: usize) {
    let (mut sender, mut stream) = response_channel();
    let sent = RESPONSES_BUFFERED_MAX + 3;
    let sending = thread::spawn(move || {
        block_on(async {
            for _ in 0..sent {
                if !sender.send(answer()).await {
                    return;
                }
            }
            sender.finish();
        });
    });
    for number in 0..read {
        let delivery = block_on(stream.next());
        assert_eq!(delivery.map(|delivery| delivery.last), if number <= sent { Some(number == sent) } else { None });
    }
    drop(stream);
    sending.join().unwrap();
}

#[test]
fn a_sender_beyond_the_room_goes_on_when_its_reader_does() {
    check_many(|| stream_to(RESPONSES_BUFFERED_MAX + 5));
}

#[test]
fn a_sender_that_waits_for_room_is_freed_by_a_reader_that_goes() {
    check_many(|| stream_to(1));
}

#[test]
fn answers_keep_their_order_whoever_is_ready_first() {
    check_many(|| {
        let order = ResponseOrder::default();
        let ended: Arc<[AtomicBool; 3]> = Arc::default();
        let pairs: Vec<(ResponseSender, ResponseStream)> = (0..3)
            .map(|_| {
                let (mut sender, stream) = response_channel();
                order.admit(&mut sender);
                (sender, stream)
            })
            .collect();
        let (senders, streams): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        // The last is forgotten: that is an end like any other.
        let answering = senders.into_iter().enumerate().map(|(index, sender)| {
            let ended = ended.clone();
            thread::spawn(move || {
                ended[index].store(true, Ordering::Relaxed);
                if index == 2 { drop(sender) } else { sender.respond(answer()) }
            })
        });
        let reading = streams.into_iter().enumerate().map(|(index, stream)| {
            let ended = ended.clone();
            thread::spawn(move || {
                assert_eq!(block_on(stream.single()).is_ok(), index != 2);
                assert!(ended[..index].iter().all(|earlier| earlier.load(Ordering::Relaxed)), "{index} was early");
            })
        });
        let threads: Vec<_> = answering.chain(reading).collect();
        for thread in threads {
            thread.join().unwrap();
        }
    });
}
