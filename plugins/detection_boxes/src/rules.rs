//! Which boxes count: by the configuration, and by what a request says instead. Nothing here asks the host.

use nereid_sdk::{Error, Value};

/// What decides whether a box is answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Boxes with a lower score go.
    pub score_min: f32,
    /// Intersection over union above which the box with the lower score goes.
    pub overlap_max: f32,
    /// At most so many boxes per image, the best ones.
    pub boxes_max: u32,
    /// Whether boxes of different classes leave each other alone.
    pub per_class: bool,
}

// === impl Rules ===

impl Rules {
    /// What Ultralytics' `predict` does when it is told nothing.
    pub const DEFAULT: Self = Self { score_min: 0.25, overlap_max: 0.7, boxes_max: 300, per_class: true };

    /// The rules, if they make sense.
    ///
    /// # Errors
    /// A threshold is outside of 0 to 1, or no box may be answered: the text names it.
    pub fn checked(self) -> Result<Self, Error> {
        for (name, value) in [("score_min", self.score_min), ("overlap_max", self.overlap_max)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::invalid_argument(format_args!("'{name}' is {value}, expected 0 to 1")));
            }
        }
        if self.boxes_max == 0 {
            return Err(Error::invalid_argument("'boxes_max' is 0, expected at least 1"));
        }
        Ok(self)
    }

    /// These rules with what the parameters of a request say instead. `boxes_max` can only be made smaller, because it
    /// bounds the answer; parameters that are not about boxes are somebody else's.
    ///
    /// # Errors
    /// A parameter is of another kind, or makes no sense.
    pub fn changed_by(self, parameters: &[(String, Value)]) -> Result<Self, Error> {
        let mut rules = self;
        for (name, value) in parameters {
            let wrong = |kind: &str| Error::invalid_argument(format_args!("'{name}' is {value}, expected {kind}"));
            match name.as_str() {
                "score_min" => rules.score_min = value.as_f64().ok_or_else(|| wrong("a number"))? as f32,
                "overlap_max" => rules.overlap_max = value.as_f64().ok_or_else(|| wrong("a number"))? as f32,
                "per_class" => rules.per_class = value.as_bool().ok_or_else(|| wrong("true or false"))?,
                "boxes_max" => {
                    let count = value.as_i64().and_then(|count| u32::try_from(count).ok());
                    rules.boxes_max = count.ok_or_else(|| wrong("a number of boxes"))?.min(self.boxes_max);
                }
                _ => {}
            }
        }
        rules.checked().map_err(|error| error.prefixed("parameter "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(name: &str, value: impl Into<Value>) -> Result<Rules, Error> {
        Rules::DEFAULT.changed_by(&[(name.to_owned(), value.into())])
    }

    #[test]
    fn a_request_changes_what_it_names() {
        assert_eq!(changed("score_min", 0.5).unwrap(), Rules { score_min: 0.5, ..Rules::DEFAULT });
        assert_eq!(changed("overlap_max", 1_i64).unwrap(), Rules { overlap_max: 1.0, ..Rules::DEFAULT });
        assert_eq!(changed("per_class", false).unwrap(), Rules { per_class: false, ..Rules::DEFAULT });
        assert_eq!(changed("camera", "north").unwrap(), Rules::DEFAULT);
    }

    #[test]
    fn a_request_cannot_ask_for_more_boxes_than_are_allowed() {
        assert_eq!(changed("boxes_max", 7_i64).unwrap().boxes_max, 7);
        assert_eq!(changed("boxes_max", 1_000_000_i64).unwrap().boxes_max, 300);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let message = |name, value: Value| changed(name, value).unwrap_err().message().to_owned();
        assert_eq!(message("score_min", 1.5.into()), "parameter 'score_min' is 1.5, expected 0 to 1");
        assert_eq!(message("overlap_max", f64::NAN.into()), "parameter 'overlap_max' is NaN, expected 0 to 1");
        assert_eq!(message("boxes_max", 0_i64.into()), "parameter 'boxes_max' is 0, expected at least 1");
        assert!(message("boxes_max", (-1_i64).into()).ends_with("expected a number of boxes"));
        assert!(message("per_class", "no".into()).ends_with("expected true or false"));
    }
}
