//! What operators may write, and what they read.

use super::*;

crate::limits! {
    /// Limits of a crate that is not there.
    struct PondLimits {
        /// How many fish.
        fish_max: Count = 1_000, "pond-fish", "fish in the pond";
        depth_bytes_max: Bytes = 64 << 20, in 1024..=1 << 30, "pond-depth", "bytes from the surface to the ground";
        visit_max: Time = Duration::from_secs(90), "pond-visit", "time of a visit";
    }
}

/// The one door: what a limit reads as after it was set, or the complaint.
#[track_caller]
fn check(name: &str, text: &str, expected: Result<&str, &str>) {
    let mut limits = PondLimits::default();
    let set = limits.set(name, text);
    let row = limits.rows().into_iter().find(|row| row.name == name).unwrap();
    assert_eq!(set.map(|_| row.value.as_str()).as_ref().map_err(String::as_str), expected.as_ref().map_err(|e| *e));
}

#[test]
fn a_value_is_a_number_with_its_unit() {
    check("pond-fish", "12", Ok("12"));
    check("pond-fish", "16,384", Ok("16,384"));
    check("pond-depth", "4096", Ok("4 KiB"));
    check("pond-depth", "2 mib", Ok("2 MiB"));
    check("pond-depth", "1GiB", Ok("1 GiB"));
    check("pond-depth", "1025", Ok("1,025 bytes"));
    check("pond-visit", "250ms", Ok("250 ms"));
    check("pond-visit", "90 s", Ok("90 s"));
    check("pond-visit", "120s", Ok("2 min"));
    check("pond-visit", "2h", Ok("2 h"));
}

#[test]
fn what_is_no_value_is_refused_with_what_would_be_one() {
    let bytes = "expected bytes: a number, or one with KiB, MiB or GiB";
    check("pond-depth", "many", Err(bytes));
    check("pond-depth", "1 MB", Err(bytes));
    check("pond-depth", "", Err(bytes));
    check("pond-depth", "1023", Err(&format!("{bytes}, from 1 KiB to 1 GiB")));
    check("pond-depth", "99999999999 GiB", Err(&format!("{bytes}, from 1 KiB to 1 GiB")));
    check("pond-visit", "90", Err("expected a time: a number with ms, s, min or h"));
    check("pond-fish", "-1", Err("expected a whole number"));
    check("pond-fish", "3s", Err("expected a whole number"));
}

#[test]
fn no_limit_can_be_switched_off() {
    let most = format!("{}", Grouped(u64::MAX));
    check("pond-fish", "0", Err(&format!("expected a whole number, from 1 to {most}")));
    check("pond-visit", "0s", Err("expected a time: a number with ms, s, min or h, from 1 ms to 8,760 h"));
}

#[test]
fn a_row_shows_the_default_beside_the_value() {
    let mut limits = PondLimits::default();
    assert_eq!(limits.set("pond-visit", "1s"), Ok(true));
    assert_eq!(limits.set("lake-visit", "1s"), Ok(false));
    let rows = limits.rows();
    assert_eq!(rows.len(), 3);
    let visit = &rows[2];
    assert_eq!((visit.default.as_str(), visit.value.as_str(), visit.what), ("90 s", "1 s", "time of a visit"));
}
