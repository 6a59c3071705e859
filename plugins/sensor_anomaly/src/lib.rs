//! Readings of sensors in, how unusual each is out. A sequence is a session of one sensor, its correlation id the sensor's.
//!
//! Input `value`: FP32 `[1, k]`, the readings since the last request, NaN where one is missing. Outputs of the same shape: `score`
//! FP32 (standard deviations from what was usual before), `anomaly` BOOL, `mean` and `deviation` FP32 (what is usual now).
//! The answer to a session's last request says in parameters how many `readings` and `anomalies` the sensor has had.
//!
//! What is usual ([`usual`]) is kept in the model's state, not in the guest: it outlives guests, sessions and swaps of the model,
//! and is forgotten `forget_seconds` (default a day) after the last reading. A session begins with what the last one learned, unless its first
//! request has the parameter `fresh: true`.
//!
//! Settings: `weight` (0.05), `threshold` (4), `warm_up` (20), `deviation_min` (1e-6), `forget_seconds`.
//! Refused: requests of no sequence. Costs: one look-up and one write of 25 bytes per request, whoever's guest it is.

mod usual;

use std::time::Duration;

use nereid_sdk::{
    Error, Model, Outcome, Request, Response, Sequence, SequenceId, Tensor, export_model, metrics::Counter, setting_or,
    state,
};

use crate::usual::{KEPT_BYTES, Rules, Usual};

struct SensorAnomaly {
    rules: Rules,
    forget_after: Duration,
    readings: Counter,
    anomalies: Counter,
}

/// What is kept of one sensor.
#[derive(Clone, Copy, Default)]
struct Sensor {
    usual: Usual,
    anomalies: u64,
}

/// The outputs of one request, reading by reading.
#[derive(Default)]
struct Answer {
    score: Vec<f32>,
    anomaly: Vec<bool>,
    mean: Vec<f32>,
    deviation: Vec<f32>,
}

// === impl SensorAnomaly ===

impl Model for SensorAnomaly {
    fn new() -> Result<Self, Error> {
        let rules = Rules {
            weight: setting_or("weight", 0.05)?,
            threshold: setting_or("threshold", 4.0)?,
            warm_up: setting_or("warm_up", 20)?,
            deviation_min: setting_or("deviation_min", 1e-6)?,
        };
        Ok(Self {
            rules: rules.checked()?,
            forget_after: Duration::from_secs(setting_or("forget_seconds", 24 * 60 * 60)?),
            readings: Counter::open("sensor_readings_total", "Readings that were seen", &[])?,
            anomalies: Counter::open("sensor_anomalies_total", "Readings beyond the threshold", &[])?,
        })
    }

    fn execute(&mut self, batch: Vec<Request>) -> Vec<Outcome> {
        batch.iter().map(|request| Outcome::from(self.judge(request))).collect()
    }
}

impl SensorAnomaly {
    /// One request of the batch, of another sensor than the others.
    fn judge(&self, request: &Request) -> Result<Response, Error> {
        let sequence = request.sequence().ok_or_else(|| {
            Error::invalid_argument(
                "readings belong to a sensor, whose number is the request's sequence id: it has none",
            )
        })?;
        let key = key(&sequence.id);
        let mut sensor = self.recall(&key, &sequence, request)?;
        let inputs = request.inputs()?;
        let value = inputs.tensor("value")?;
        let mut answer = Answer::default();
        for reading in value.as_f32()? {
            answer.push(&mut sensor, reading, self.rules);
        }
        let anomalies = answer.anomaly.iter().filter(|is_anomaly| **is_anomaly).count();
        sensor.anomalies += anomalies as u64;
        state::set(&key, &sensor.encode(), Some(self.forget_after))?;
        self.readings.add(answer.score.len() as f64)?;
        self.anomalies.add(anomalies as f64)?;
        let response = answer.response(&value.shape())?;
        if !sequence.end {
            return Ok(response);
        }
        Ok(response.parameter("readings", sensor.usual.count).parameter("anomalies", sensor.anomalies))
    }

    /// What is known of a sensor; nothing where a session wants to begin afresh.
    fn recall(&self, key: &str, sequence: &Sequence, request: &Request) -> Result<Sensor, Error> {
        let fresh = request.parameter("fresh").and_then(|fresh| fresh.as_bool()).unwrap_or(false);
        if sequence.start && fresh {
            return Ok(Sensor::default());
        }
        Ok(state::get(key)?.and_then(|entry| Sensor::decode(&entry.value)).unwrap_or_default())
    }
}

// === impl Sensor ===

impl Sensor {
    fn encode(&self) -> Vec<u8> {
        [&self.usual.encode()[..], &self.anomalies.to_le_bytes()].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (usual, anomalies) = bytes.split_at_checked(KEPT_BYTES)?;
        Some(Self { usual: Usual::decode(usual)?, anomalies: u64::from_le_bytes(anomalies.try_into().ok()?) })
    }
}

// === impl Answer ===

impl Answer {
    fn push(&mut self, sensor: &mut Sensor, reading: f32, rules: Rules) {
        let verdict = sensor.usual.take(reading.into(), rules);
        self.score.push(verdict.score as f32);
        self.anomaly.push(verdict.is_anomaly);
        self.mean.push(sensor.usual.mean as f32);
        self.deviation.push(sensor.usual.deviation() as f32);
    }

    fn response(&self, shape: &[u64]) -> Result<Response, Error> {
        Ok(Response::new()
            .output("score", Tensor::from_f32(shape, &self.score)?)
            .output("anomaly", Tensor::from_elements(shape, &self.anomaly)?)
            .output("mean", Tensor::from_f32(shape, &self.mean)?)
            .output("deviation", Tensor::from_f32(shape, &self.deviation)?))
    }
}

/// Numbers and texts are different sensors, even where they read the same.
fn key(id: &SequenceId) -> String {
    match id {
        SequenceId::Number(number) => format!("sensor/{number}"),
        SequenceId::Text(text) => format!("sensor:{text}"),
    }
}

export_model!(SensorAnomaly);
