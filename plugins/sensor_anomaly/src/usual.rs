//! What is usual for one sensor, learned reading by reading. Nothing here asks the host.
//!
//! Mean and variance are exponentially weighted: a reading counts `weight`, all before it together the rest. A reading is scored
//! by what was usual *before* it, in standard deviations. One beyond the threshold is learned as if it were at the threshold, so
//! that a spike does not make the next one usual; a new level is learned all the same, in some readings more.

use nereid_sdk::Error;

/// Changes with the form of what is kept.
const FORM: u8 = 1;
/// The form's number, the count, mean and variance.
pub const KEPT_BYTES: usize = 25;

/// How readings are weighed and judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// What a reading counts against all before it, above 0 up to 1.
    pub weight: f64,
    /// Standard deviations from which on a reading is unusual.
    pub threshold: f64,
    /// Readings that are learned before any is judged.
    pub warm_up: u64,
    /// The least standard deviation: what a sensor's resolution is anyway.
    pub deviation_min: f64,
}

/// What was learned.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usual {
    /// Readings that were learned.
    pub count: u64,
    /// Their weighted mean.
    pub mean: f64,
    /// Their weighted variance.
    pub variance: f64,
}

/// What is said about one reading.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// Standard deviations above what was usual before, negative below; 0 while warming up.
    pub score: f64,
    /// Whether that is beyond the threshold.
    pub is_anomaly: bool,
}

// === impl Rules ===

impl Rules {
    /// The rules, if they make sense.
    ///
    /// # Errors
    /// A number is out of its range: the text names it.
    pub fn checked(self) -> Result<Self, Error> {
        let wrong = |name: &str, value: f64, expected: &str| {
            let text = format!("parameter '{name}' of config.pbtxt is {value}, expected {expected}");
            Err(Error::internal(text))
        };
        if !(self.weight > 0.0 && self.weight <= 1.0) {
            return wrong("weight", self.weight, "a number above 0, up to 1");
        }
        if !(self.threshold > 0.0 && self.threshold.is_finite()) {
            return wrong("threshold", self.threshold, "standard deviations above 0");
        }
        if !(self.deviation_min > 0.0 && self.deviation_min.is_finite()) {
            return wrong("deviation_min", self.deviation_min, "a number above 0");
        }
        Ok(self)
    }
}

// === impl Usual ===

impl Usual {
    /// The weighted standard deviation.
    pub fn deviation(&self) -> f64 {
        self.variance.sqrt()
    }

    /// Judges a reading, and learns it. What is no finite number is a gap: neither judged nor learned.
    pub fn take(&mut self, reading: f64, rules: Rules) -> Verdict {
        if !reading.is_finite() {
            return Verdict { score: 0.0, is_anomaly: false };
        }
        let deviation = self.deviation().max(rules.deviation_min);
        let is_warm = self.count > 0 && self.count >= rules.warm_up;
        let score = if is_warm { (reading - self.mean) / deviation } else { 0.0 };
        let most = rules.threshold * deviation;
        self.learn(if is_warm { reading.clamp(self.mean - most, self.mean + most) } else { reading }, rules.weight);
        Verdict { score, is_anomaly: score.abs() > rules.threshold }
    }

    fn learn(&mut self, reading: f64, weight: f64) {
        self.count += 1;
        if self.count == 1 {
            self.mean = reading;
            return;
        }
        let distance = reading - self.mean;
        let step = weight * distance;
        self.mean += step;
        self.variance = (1.0 - weight) * (self.variance + distance * step);
    }

    /// As bytes, for the model's state.
    pub fn encode(&self) -> [u8; KEPT_BYTES] {
        let mut bytes = [FORM; KEPT_BYTES];
        let numbers = [self.count.to_le_bytes(), self.mean.to_le_bytes(), self.variance.to_le_bytes()];
        bytes.iter_mut().skip(1).zip(numbers.as_flattened()).for_each(|(byte, value)| *byte = *value);
        bytes
    }

    /// From those bytes; none where another build wrote them in another form.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (numbers, rest) = bytes.strip_prefix(&[FORM])?.as_chunks::<8>();
        let [count, mean, variance] = *numbers else { return None };
        let usual = Self {
            count: u64::from_le_bytes(count),
            mean: f64::from_le_bytes(mean),
            variance: f64::from_le_bytes(variance),
        };
        rest.is_empty().then_some(usual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { weight: 0.5, threshold: 3.0, warm_up: 2, deviation_min: 0.1 };

    fn learned(readings: &[f64]) -> Usual {
        let mut usual = Usual::default();
        readings.iter().for_each(|reading| {
            usual.take(*reading, RULES);
        });
        usual
    }

    #[test]
    fn mean_and_variance_are_weighted() {
        // By hand: 10; then 11, of 1 * 0.5; then 11.5, of 0.5 * (0.5 + ...).
        assert_eq!(learned(&[10.0]), Usual { count: 1, mean: 10.0, variance: 0.0 });
        assert_eq!(learned(&[10.0, 12.0]), Usual { count: 2, mean: 11.0, variance: 1.0 });
        assert_eq!(learned(&[10.0, 12.0, 12.0]), Usual { count: 3, mean: 11.5, variance: 0.75 });
    }

    #[test]
    fn a_reading_is_judged_by_those_before_it() {
        let mut usual = learned(&[10.0, 12.0]);
        assert_eq!(usual.take(13.0, RULES), Verdict { score: 2.0, is_anomaly: false });
        let mut usual = learned(&[10.0, 12.0]);
        assert_eq!(usual.take(-30.0, RULES), Verdict { score: -41.0, is_anomaly: true });
        // Learned as 8, three deviations below the mean.
        assert_eq!(usual.mean, 9.5);
    }

    #[test]
    fn nothing_is_judged_while_warming_up() {
        assert_eq!(learned(&[10.0]).take(1e9, RULES), Verdict { score: 0.0, is_anomaly: false });
    }

    #[test]
    fn a_sensor_that_stood_still_has_the_least_deviation() {
        assert_eq!(learned(&[5.0; 9]).take(6.0, RULES), Verdict { score: 10.0, is_anomaly: true });
    }

    #[test]
    fn gaps_are_neither_judged_nor_learned() {
        for gap in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut usual = learned(&[10.0, 12.0]);
            assert_eq!(usual.take(gap, RULES), Verdict { score: 0.0, is_anomaly: false });
            assert_eq!(usual, learned(&[10.0, 12.0]));
        }
    }

    #[test]
    fn a_new_level_becomes_usual() {
        let mut usual = learned(&[10.0, 12.0]);
        let unusual = (0..50).filter(|_| usual.take(500.0, RULES).is_anomaly).count();
        assert!((2..20).contains(&unusual), "{unusual} of 50");
    }

    #[test]
    fn what_is_kept_reads_back() {
        let usual = learned(&[10.0, 12.0, 7.0]);
        assert_eq!(Usual::decode(&usual.encode()), Some(usual));
        assert_eq!(Usual::decode(&usual.encode()[..24]), None);
        assert_eq!(Usual::decode(&[&[FORM + 1], &usual.encode()[1..]].concat()), None);
    }

    #[test]
    fn rules_that_make_no_sense_are_named() {
        let message = |rules: Rules| rules.checked().unwrap_err().message().to_owned();
        assert!(message(Rules { weight: 0.0, ..RULES }).contains("'weight' of config.pbtxt is 0, expected"));
        assert!(message(Rules { weight: f64::NAN, ..RULES }).contains("'weight'"));
        assert!(message(Rules { threshold: -1.0, ..RULES }).contains("'threshold'"));
        assert!(message(Rules { deviation_min: 0.0, ..RULES }).contains("'deviation_min'"));
    }
}
