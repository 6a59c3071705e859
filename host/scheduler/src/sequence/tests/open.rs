//! Which sequences more requests may come for.

use super::*;

#[test]
fn a_sequence_is_open_from_its_start_to_its_end_or_until_it_is_silent_for_too_long() {
    let mut story = Story::direct(2, 1);
    let is_open = |story: &Story, id: &str| story.policy.has_open_sequence(Some(&SequenceId::Text(id.to_owned())));
    assert!(!story.policy.has_open_sequence(None));
    story.arrives("a^", "0:a^");
    assert!(is_open(&story, "a") && !is_open(&story, "b") && story.policy.has_open_sequence(None));
    story.arrives("a$", "");
    assert!(!is_open(&story, "a"), "nothing more is to come, whatever waits");
    story.finishes(0, "0:a$");
    story.arrives("b^", "");
    assert!(is_open(&story, "b"));
    story.finishes(0, "0:b^");
    story.finishes(0, "");
    story.now += IDLE;
    story.check(Event::Wake, "");
    assert!(!is_open(&story, "b") && !story.policy.has_open_sequence(None));
}
