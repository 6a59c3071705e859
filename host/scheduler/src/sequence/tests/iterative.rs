//! Requests that are handed back, between those that are not.

use super::*;

#[test]
fn a_request_that_is_handed_back_waits_behind_those_of_other_sequences() {
    let mut story = Story::iterative(SequenceStrategy::Oldest, 4);
    story.arrives("a^", "0:a^");
    for name in ["b^", "c^", "d^"] {
        story.arrives(name, "");
    }
    story.hands_back(&["a^"], "0:b^ c^");
    story.hands_back(&["b^"], "0:d^ a^");
    story.hands_back(&["d^", "a^"], "0:b^ d^");
}

#[test]
fn a_request_that_is_handed_back_keeps_its_row_and_others_join() {
    let mut story = Story::iterative(SequenceStrategy::Direct(DirectSettings::default()), 2);
    story.arrives("a^", "0:a^");
    story.arrives("b^", "");
    story.arrives("c^", "");
    story.hands_back(&["a^"], "0:a^ b^");
    story.hands_back(&["b^"], "0:c^ b^");
}

#[test]
fn an_iterative_sequence_ends_with_its_last_step() {
    let mut story = Story::iterative(SequenceStrategy::Oldest, 1);
    story.arrives("a^", "0:a^");
    story.arrives("b^", "");
    story.arrives("a2", "");
    story.hands_back(&["a^"], "0:a^");
    story.finishes(0, "0:a2");
    story.finishes(0, "0:b^");
    story.arrives("a3", "!a3 NotStarted");
}

#[test]
fn a_request_that_is_cancelled_between_two_steps_takes_its_sequence_with_it() {
    let mut story = Story::iterative(SequenceStrategy::Oldest, 1);
    story.arrives("a^", "0:a^");
    story.arrives("a2", "");
    story.arrives("b^", "");
    story.cancel("a^");
    story.hands_back(&["a^"], "0:b^, xa^, xa2");
}

#[test]
fn draining_lets_the_steps_that_are_left_be_made() {
    let mut story = Story::iterative(SequenceStrategy::Oldest, 1);
    story.arrives("a^", "0:a^");
    story.check(Event::Drain, "");
    assert!(!story.policy.is_drained());
    story.hands_back(&["a^"], "0:a^");
    assert!(!story.policy.is_drained());
    story.finishes(0, "");
    assert!(story.policy.is_drained());
}
