//! `config.pbtxt`: the text format's parser, and every form of a configuration that it accepts.
//!
//! What is accepted must survive the way through the protobuf message, and have a JSON form. What is refused must say
//! where, in text that a terminal can show.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nereid_config::{ConfigError, from_proto, parse_text, to_json, to_proto};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    match parse_text("config.pbtxt", text) {
        Ok(config) => {
            let again = from_proto(to_proto(&config));
            // Debug, because a NaN differs from itself.
            assert_eq!(again.map(|config| format!("{config:?}")).ok(), Some(format!("{config:?}")));
            assert!(to_json(&config).starts_with('{'));
        }
        Err(error) => {
            let shown = error.to_string();
            let is_placed = !matches!(error, ConfigError::Text(_)) || shown.starts_with("config.pbtxt:");
            assert!(is_placed, "an error without a place: {shown}");
        }
    }
});
