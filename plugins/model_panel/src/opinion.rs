//! Who is asked, how many must answer, and what is made of their answers. Nothing here asks the host.

use nereid_sdk::Error;

/// The models, and how many of them are enough.
#[derive(Debug, PartialEq, Eq)]
pub struct Panel {
    models: Vec<String>,
    quorum: usize,
}

/// The sum of the probabilities that models gave.
#[derive(Debug, Default)]
pub struct Opinions {
    shape: Vec<u64>,
    sum: Vec<f32>,
    count: usize,
}

// === impl Panel ===

impl Panel {
    /// Reads the parameters of `config.pbtxt`.
    ///
    /// # Errors
    /// There are no models, or not as many as are to answer.
    pub fn parse(models: &str, quorum: Option<&str>) -> Result<Self, Error> {
        let wrong = |name: &str, found: &str, expected: &str| {
            Error::internal(format_args!("parameter '{name}' of config.pbtxt is '{found}', expected {expected}"))
        };
        let names: Vec<String> = models.split(',').map(|model| model.trim().to_owned()).collect();
        if names.iter().any(String::is_empty) {
            return Err(wrong("models", models, "models like 'large, small'"));
        }
        let expected = format!("a number from 1 to {}, the models that are asked", names.len());
        let quorum = match quorum {
            None => names.len().saturating_sub(1).max(1),
            Some(text) => text.trim().parse().map_err(|_| wrong("quorum", text, &expected))?,
        };
        if quorum == 0 || quorum > names.len() {
            return Err(wrong("quorum", &quorum.to_string(), &expected));
        }
        Ok(Self { models: names, quorum })
    }

    /// In the order of the configuration.
    pub fn models(&self) -> &[String] {
        &self.models
    }

    /// Whether so many answers are enough.
    ///
    /// # Errors
    /// They are not.
    pub fn check_quorum(&self, answered: usize) -> Result<(), Error> {
        if answered >= self.quorum {
            return Ok(());
        }
        let (asked, quorum) = (self.models.len(), self.quorum);
        let text = format!(
            "{answered} of {asked} models answered in time, and {quorum} must; the log says what the others did"
        );
        Err(Error::unavailable(text))
    }
}

// === impl Opinions ===

impl Opinions {
    /// Adds the scores of a model: rows of classes, of which softmax makes probabilities.
    ///
    /// # Errors
    /// They are of another shape than those before, or none.
    pub fn add(&mut self, shape: &[u64], scores: &[f32]) -> Result<(), Error> {
        if self.count == 0 {
            self.shape = shape.to_vec();
            self.sum = vec![0.0; scores.len()];
        } else if self.shape != shape {
            let expected = &self.shape;
            let text = format!("its scores are of shape {shape:?}, those of the model before it of {expected:?}");
            return Err(Error::internal(text));
        }
        let classes = shape.last().map_or(0, |classes| *classes as usize);
        if classes > 0 {
            let sums = self.sum.chunks_exact_mut(classes);
            sums.zip(scores.chunks_exact(classes)).for_each(|(sum, row)| add_softmax(sum, row));
        }
        self.count += 1;
        Ok(())
    }

    /// How many models were heard.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Shape and mean.
    pub fn mean(self) -> (Vec<u64>, Vec<f32>) {
        let count = self.count.max(1) as f32;
        (self.shape, self.sum.into_iter().map(|sum| sum / count).collect())
    }
}

fn add_softmax(sum: &mut [f32], scores: &[f32]) {
    // Less the largest, so that no exponential overflows.
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f32 = scores.iter().map(|score| (score - largest).exp()).sum();
    sum.iter_mut().zip(scores).for_each(|(sum, score)| *sum += (score - largest).exp() / total);
}

#[cfg(test)]
mod tests {
    use nereid_sdk::ErrorCode;

    use super::*;

    #[test]
    fn all_but_one_model_must_answer_unless_the_configuration_says_otherwise() {
        let panel = Panel::parse("a, b,c", None).unwrap();
        assert_eq!(panel.models(), ["a", "b", "c"]);
        assert!(panel.check_quorum(2).is_ok());
        let error = panel.check_quorum(1).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Unavailable);
        assert!(error.message().starts_with("1 of 3 models answered in time, and 2 must"), "{error}");
        assert!(Panel::parse("a", None).unwrap().check_quorum(0).is_err(), "one that is alone must answer");
        assert!(Panel::parse("a,b", Some("2")).unwrap().check_quorum(1).is_err());
    }

    #[test]
    fn a_configuration_that_makes_no_sense_is_told() {
        let message = |models, quorum| Panel::parse(models, quorum).unwrap_err().message().to_owned();
        assert!(message("", None).contains("parameter 'models' of config.pbtxt is '', expected models like"));
        assert!(message("a,,b", None).contains("is 'a,,b'"));
        assert!(message("a,b", Some("3")).contains("'quorum' of config.pbtxt is '3', expected a number from 1 to 2"));
        assert!(message("a,b", Some("most")).contains("'quorum' of config.pbtxt is 'most'"));
    }

    #[test]
    fn the_mean_is_over_rows_of_probabilities() {
        let mut opinions = Opinions::default();
        opinions.add(&[2, 2], &[0.0, 0.0, 1000.0, 0.0]).unwrap();
        opinions.add(&[2, 2], &[0.0, 3.0_f32.ln(), 1000.0, 0.0]).unwrap();
        let (shape, mean) = opinions.mean();
        assert_eq!(shape, [2, 2]);
        for (found, expected) in mean.iter().zip([0.375, 0.625, 1.0, 0.0]) {
            assert!((found - expected).abs() < 1e-6, "{mean:?}");
        }
    }

    #[test]
    fn scores_of_another_shape_are_not_mixed_in() {
        let mut opinions = Opinions::default();
        opinions.add(&[1, 2], &[0.0, 0.0]).unwrap();
        let error = opinions.add(&[1, 3], &[0.0; 3]).unwrap_err();
        assert!(error.message().contains("of shape [1, 3], those of the model before it of [1, 2]"), "{error}");
        assert_eq!(opinions.count(), 1);
    }
}
