//! Metrics of the plugin's own, on the server's metrics page: `Counter::open("images_total", "Images seen", &[])?.add(1.0)?`.
//!
//! Open them once and keep them. The host adds the label `model`; names must not begin with `nv_` or `nereid_`.

use crate::{
    Error,
    bindings::nereid::plugin::metrics::{self as host, Label},
};

/// A number that only grows.
#[derive(Debug)]
pub struct Counter(host::Counter);

/// A number that goes up and down.
#[derive(Debug)]
pub struct Gauge(host::Gauge);

/// Observations, counted in buckets.
#[derive(Debug)]
pub struct Histogram(host::Histogram);

// === impl Counter ===

impl Counter {
    /// The counter of that name and those labels; made when there is none.
    ///
    /// # Errors
    /// A name that the page cannot show or that means something else already, or too many label sets.
    pub fn open(name: &str, description: &str, labels: &[(&str, &str)]) -> Result<Self, Error> {
        Ok(Self(host::Counter::open(name, description, &labels_of(labels))?))
    }

    /// Adds an amount, which must not be negative.
    ///
    /// # Errors
    /// The amount is negative, or no number.
    pub fn add(&self, amount: f64) -> Result<(), Error> {
        Ok(self.0.add(amount)?)
    }

    /// The number now.
    pub fn value(&self) -> f64 {
        self.0.value()
    }
}

// === impl Gauge ===

impl Gauge {
    /// The gauge of that name and those labels; made when there is none.
    ///
    /// # Errors
    /// As of [`Counter::open`].
    pub fn open(name: &str, description: &str, labels: &[(&str, &str)]) -> Result<Self, Error> {
        Ok(Self(host::Gauge::open(name, description, &labels_of(labels))?))
    }

    /// Replaces the number.
    pub fn set(&self, value: f64) {
        self.0.set(value);
    }

    /// Adds an amount, which may be negative.
    pub fn add(&self, amount: f64) {
        self.0.add(amount);
    }

    /// The number now.
    pub fn value(&self) -> f64 {
        self.0.value()
    }
}

// === impl Histogram ===

impl Histogram {
    /// The histogram of that name and those labels; made when there is none, with buckets whose upper bounds are `bounds`, in
    /// growing order.
    ///
    /// # Errors
    /// As of [`Counter::open`], and bounds that do not grow.
    pub fn open(name: &str, description: &str, labels: &[(&str, &str)], bounds: &[f64]) -> Result<Self, Error> {
        Ok(Self(host::Histogram::open(name, description, &labels_of(labels), bounds)?))
    }

    /// Counts an observation.
    pub fn observe(&self, value: f64) {
        self.0.observe(value);
    }
}

fn labels_of(labels: &[(&str, &str)]) -> Vec<Label> {
    let label = |(name, value): &(&str, &str)| Label { name: (*name).to_owned(), value: (*value).to_owned() };
    labels.iter().map(label).collect()
}
