//! Requests that are run before a model counts as ready.

use std::collections::BTreeMap;

use super::ConfigDataType;

/// One request to run on every instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WarmupSample {
    pub name: String,
    /// 0 skips the sample.
    pub batch_size: u32,
    pub inputs: BTreeMap<String, WarmupInput>,
    /// Times to run it; 0 is once.
    pub count: u32,
}

/// One tensor of a warm-up request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WarmupInput {
    pub data_type: ConfigDataType,
    pub dims: Vec<i64>,
    pub data: Option<WarmupData>,
}

/// Where the tensor's bytes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WarmupData {
    Zero(bool),
    Random(bool),
    /// File below `warmup/`.
    File(String),
}
