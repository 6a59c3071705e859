//! Softmax, the best of a row, and the texts of the classes. Nothing here asks the host.

use nereid_sdk::Error;

/// The texts of the classes, in the order of the logits.
#[derive(Debug)]
pub struct Labels {
    texts: Vec<String>,
}

/// A class and how likely it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranked {
    /// The position of its score in the row.
    pub class: usize,
    /// Between 0 and 1; those of a whole row add up to 1.
    pub probability: f32,
}

/// What the numbers of a row are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scores {
    /// What a network gives: softmax makes probabilities of them.
    Logits,
    /// Probabilities already.
    Probabilities,
}

/// The `count` likeliest classes of a row of scores, the likeliest first; of two equal ones the first.
///
/// # Errors
/// A score is not a finite number: the model that made it is broken, and any ranking would be made up.
pub fn top(row: &[f32], scores: Scores, count: usize) -> Result<Vec<Ranked>, Error> {
    if let Some((class, value)) = row.iter().enumerate().find(|(_, value)| !value.is_finite()) {
        let text = format!("the {} of class {class} is {value}, expected finite numbers", scores.noun());
        return Err(Error::invalid_argument(text));
    }
    let probabilities = match scores {
        Scores::Logits => softmax(row),
        Scores::Probabilities => row.to_vec(),
    };
    let ranked = probabilities.into_iter().enumerate();
    let mut ranked: Vec<Ranked> = ranked.map(|(class, probability)| Ranked { class, probability }).collect();
    ranked.sort_by(|left, right| right.probability.total_cmp(&left.probability));
    ranked.truncate(count);
    Ok(ranked)
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    // Less the largest, so that no exponential overflows.
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = logits.iter().map(|value| (value - largest).exp()).sum();
    logits.iter().map(|value| (value - largest).exp() / sum).collect()
}

// === impl Scores ===

impl Scores {
    /// What the parameter `scores` says; logits where it says nothing.
    ///
    /// # Errors
    /// Another word.
    pub fn parse(setting: Option<&str>) -> Result<Self, Error> {
        match setting.map(str::trim) {
            None | Some("logits") => Ok(Self::Logits),
            Some("probabilities") => Ok(Self::Probabilities),
            Some(other) => Err(Error::internal(format_args!(
                "parameter 'scores' of config.pbtxt is '{other}', expected 'logits' or 'probabilities'"
            ))),
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Logits => "logit",
            Self::Probabilities => "probability",
        }
    }
}

// === impl Labels ===

impl Labels {
    /// Texts between commas; spaces around them do not count.
    ///
    /// # Errors
    /// One of them, or all, is empty.
    pub fn parse(setting: &str) -> Result<Self, Error> {
        let texts: Vec<String> = setting.split(',').map(|text| text.trim().to_owned()).collect();
        match texts.iter().position(String::is_empty) {
            None => Ok(Self { texts }),
            Some(index) => Err(Error::internal(format_args!(
                "parameter 'labels' of config.pbtxt has no text for class {index}: \
                 expected one per class, in order, like 'cat,dog', found '{setting}'"
            ))),
        }
    }

    /// The number of classes, if `shape` is `[n, classes]`.
    ///
    /// # Errors
    /// It is another shape.
    pub fn check_shape(&self, shape: &[u64]) -> Result<usize, Error> {
        let classes = self.texts.len();
        match shape {
            [_, columns] if *columns == classes as u64 => Ok(classes),
            _ => Err(Error::invalid_argument(format_args!(
                "input 'logits' has shape {shape:?}, expected [n, {classes}]: \
                 parameter 'labels' of config.pbtxt has {classes} labels"
            ))),
        }
    }

    /// `top_k`, if there are so many classes.
    ///
    /// # Errors
    /// It is 0 or more than there are.
    pub fn check_top_k(&self, top_k: usize) -> Result<usize, Error> {
        let classes = self.texts.len();
        if (1..=classes).contains(&top_k) {
            return Ok(top_k);
        }
        Err(Error::internal(format_args!(
            "parameter 'top_k' of config.pbtxt is {top_k}, expected 1 to {classes}: there are {classes} labels"
        )))
    }

    /// The text of a class; empty beyond the last.
    pub fn text(&self, class: usize) -> &str {
        self.texts.get(class).map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(logits: &[f32], count: usize) -> Vec<usize> {
        top(logits, Scores::Logits, count).unwrap().iter().map(|ranked| ranked.class).collect()
    }

    #[test]
    fn the_likeliest_come_first_and_equal_ones_in_their_order() {
        assert_eq!(classes(&[0.0, 2.0, -1.0, 2.0, 1.0], 3), [1, 3, 4]);
        assert_eq!(classes(&[0.5, 0.5], 5), [0, 1]);
    }

    #[test]
    fn probabilities_are_those_of_softmax() {
        let ranked = top(&[0.0, 3.0_f32.ln()], Scores::Logits, 2).unwrap();
        assert!((ranked[0].probability - 0.75).abs() < 1e-6, "{ranked:?}");
        assert!((ranked[1].probability - 0.25).abs() < 1e-6, "{ranked:?}");
    }

    #[test]
    fn probabilities_are_ranked_as_they_are() {
        let ranked = top(&[0.25, 0.75], Scores::Probabilities, 2).unwrap();
        assert_eq!(ranked, [Ranked { class: 1, probability: 0.75 }, Ranked { class: 0, probability: 0.25 }]);
        let error = top(&[f32::NAN], Scores::Probabilities, 1).unwrap_err();
        assert_eq!(error.message(), "the probability of class 0 is NaN, expected finite numbers");
    }

    #[test]
    fn scores_are_logits_unless_said_otherwise() {
        assert_eq!(Scores::parse(None).unwrap(), Scores::Logits);
        assert_eq!(Scores::parse(Some("probabilities ")).unwrap(), Scores::Probabilities);
        assert!(Scores::parse(Some("odds")).unwrap_err().message().contains("is 'odds', expected"));
    }

    #[test]
    fn large_logits_do_not_overflow() {
        let ranked = top(&[1e30, -1e30, 1e30], Scores::Logits, 2).unwrap();
        assert_eq!(ranked, [Ranked { class: 0, probability: 0.5 }, Ranked { class: 2, probability: 0.5 }]);
    }

    #[test]
    fn a_logit_that_is_no_number_is_refused() {
        let error = top(&[0.0, f32::NAN], Scores::Logits, 1).unwrap_err();
        assert_eq!(error.message(), "the logit of class 1 is NaN, expected finite numbers");
        assert!(top(&[f32::INFINITY], Scores::Logits, 1).is_err());
    }

    #[test]
    fn labels_may_have_spaces_around_them_but_not_nothing_between() {
        assert_eq!(Labels::parse(" cat, dog ").unwrap().text(1), "dog");
        let error = Labels::parse("cat,,dog").unwrap_err();
        assert!(error.message().contains("has no text for class 1"), "{error}");
        assert!(Labels::parse("").is_err());
    }

    #[test]
    fn more_labels_than_logits_is_an_error_that_shows_both() {
        let labels = Labels::parse("a,b,c").unwrap();
        assert_eq!(labels.check_shape(&[4, 3]).unwrap(), 3);
        assert_eq!(
            labels.check_shape(&[4, 2]).unwrap_err().message(),
            "input 'logits' has shape [4, 2], expected [n, 3]: parameter 'labels' of config.pbtxt has 3 labels"
        );
        assert!(labels.check_shape(&[3]).is_err());
    }

    #[test]
    fn top_k_beyond_the_classes_is_an_error_of_the_configuration() {
        let labels = Labels::parse("a,b,c").unwrap();
        assert_eq!(labels.check_top_k(3).unwrap(), 3);
        assert!(labels.check_top_k(0).is_err());
        assert!(labels.check_top_k(4).unwrap_err().message().contains("expected 1 to 3"));
    }
}
