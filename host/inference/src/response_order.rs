//! Answers in the order in which requests were admitted, whoever is ready first.
//!
//! Promises: a reader sees nothing of an answer before every earlier request of the same line has ended, be it with an
//! answer, with an error or because its sender was dropped. Holds back what is ready and nothing else: senders never wait
//! longer than [`crate::RESPONSES_BUFFERED_MAX`] makes them.
//! Costs: one short lock per request and one more when it ends.

use std::{collections::VecDeque, sync::Arc};

use nereid_sync::Mutex;

use crate::{ResponseSender, response_channel::Channel};

/// A line in which answers wait for those before them.
#[derive(Clone, Debug, Default)]
pub struct ResponseOrder(Arc<Mutex<Line>>);

/// A request's place in the line; letting it go is the end of the request.
#[derive(Debug)]
pub(crate) struct Turn {
    order: ResponseOrder,
    number: u64,
}

#[derive(Debug, Default)]
struct Line {
    /// From the first request that has not ended to the one admitted last.
    places: VecDeque<Place>,
    /// The number of the first place.
    first: u64,
}

#[derive(Debug)]
struct Place {
    channel: Arc<Mutex<Channel>>,
    ended: bool,
}

// === impl ResponseOrder ===

impl ResponseOrder {
    /// Puts a request at the end of the line.
    pub fn admit(&self, sender: &mut ResponseSender) {
        let channel = sender.channel().clone();
        let mut line = self.0.lock();
        channel.lock().hold(!line.places.is_empty());
        let number = line.first + line.places.len() as u64;
        line.places.push_back(Place { channel, ended: false });
        drop(line);
        sender.set_turn(Turn { order: self.clone(), number });
    }
}

// === impl Turn ===

impl Drop for Turn {
    /// The next one's turn has come. Answers are released under the lock, so that no thread overtakes another here.
    fn drop(&mut self) {
        let mut line = self.order.0.lock();
        let index = usize::try_from(self.number - line.first).unwrap_or(usize::MAX);
        if let Some(place) = line.places.get_mut(index) {
            place.ended = true;
        }
        while line.places.front().is_some_and(|place| place.ended) {
            line.places.pop_front();
            line.first += 1;
            if let Some(next) = line.places.front() {
                next.channel.lock().hold(false);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::{InferResponse, ResponseStream, response_channel};

    fn admit<const N: usize>() -> ([Option<ResponseSender>; N], [ResponseStream; N]) {
        let order = ResponseOrder::default();
        let (mut senders, mut streams) = ([const { None }; N], Vec::new());
        for slot in &mut senders {
            let (mut sender, stream) = response_channel();
            order.admit(&mut sender);
            *slot = Some(sender);
            streams.push(stream);
        }
        (senders, streams.try_into().unwrap())
    }

    /// Ends the requests in `sequence`; after each of them, how many streams from the first on are readable.
    #[track_caller]
    fn check<const N: usize>(sequence: [usize; N], expected: [usize; N]) {
        let (mut senders, mut streams) = admit::<N>();
        let mut read = 0;
        for (index, expected) in sequence.into_iter().zip(expected) {
            // One way of ending is as good as another.
            match index % 3 {
                0 => senders[index].take().unwrap().respond(Ok(InferResponse::default())),
                1 => senders[index].take().unwrap().finish(),
                _ => drop(senders[index].take()),
            }
            let readable: Vec<bool> =
                streams[read..].iter_mut().map(|stream| stream.next().now_or_never().is_some()).collect();
            let first_held = readable.iter().position(|readable| !readable).unwrap_or(readable.len());
            assert!(readable[first_held..].iter().all(|readable| !readable), "overtaken after the end of {index}");
            read += first_held;
            assert_eq!(read, expected, "after the end of {index}");
        }
    }

    #[test]
    fn an_answer_waits_for_those_before_it() {
        check([0, 1, 2], [1, 2, 3]);
        check([2, 1, 0], [0, 0, 3]);
        check([1, 0, 3, 2], [0, 2, 2, 4]);
    }

    #[tokio::test]
    async fn the_first_in_line_streams_at_once_and_the_second_after_it() {
        let ([mut first, mut second], [mut first_stream, mut second_stream]) = admit();
        second.as_mut().unwrap().send(Ok(InferResponse::default())).await;
        first.as_mut().unwrap().send(Ok(InferResponse::default())).await;
        assert!(first_stream.next().now_or_never().is_some());
        assert!(second_stream.next().now_or_never().is_none());
        drop(first.take());
        assert!(second_stream.next().now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_reader_that_waits_is_woken_when_its_turn_comes() {
        let ([first, second], [_, second_stream]) = admit();
        let reader = tokio::spawn(second_stream.single());
        tokio::task::yield_now().await;
        second.unwrap().respond(Ok(InferResponse::default()));
        tokio::task::yield_now().await;
        assert!(!reader.is_finished());
        drop(first);
        assert!(reader.await.unwrap().is_ok());
    }

    #[test]
    fn a_reader_that_is_gone_holds_nobody_up() {
        let ([first, second], [first_stream, mut second_stream]) = admit();
        drop(first_stream);
        second.unwrap().respond(Ok(InferResponse::default()));
        first.unwrap().respond(Ok(InferResponse::default()));
        assert!(second_stream.next().now_or_never().is_some());
    }
}
