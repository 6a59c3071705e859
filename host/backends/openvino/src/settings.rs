//! The parameters of a model, under the names of Triton's OpenVINO backend, older and newer, and under OpenVINO's own.
//!
//! Where nothing is said: numbers are calculated as the file has them (`INFERENCE_PRECISION_HINT=f32`; OpenVINO itself takes
//! bfloat16 on processors that have it, and answers differ in the third digit), one stream per instance with one thread
//! each, and threads are not bound to cores, which another model may use too.

use nereid_inference::{InferError, ModelConfig, config::InstanceKind};

const PRECISION: &str = "INFERENCE_PRECISION_HINT";
const HINT: &str = "PERFORMANCE_HINT";
const THREADS: &str = "INFERENCE_NUM_THREADS";
const REQUESTS: &str = "PERFORMANCE_HINT_NUM_REQUESTS";
const PINNING: &str = "ENABLE_CPU_PINNING";
const HYPER_THREADING: &str = "ENABLE_HYPER_THREADING";
const STREAMS: &str = "NUM_STREAMS";

/// Properties that a model may set, the values that each may have (none given: a whole number), and its names.
const PROPERTIES: [(&str, &[&str], &[&str]); 6] = [
    (PRECISION, &["f32", "bf16", "f16"], &["INFERENCE_PRECISION_HINT"]),
    (HINT, &["LATENCY", "THROUGHPUT", "CUMULATIVE_THROUGHPUT"], &["PERFORMANCE_HINT"]),
    (THREADS, &[], &["INFERENCE_NUM_THREADS", "CPU_THREADS_NUM"]),
    (REQUESTS, &[], &["PERFORMANCE_HINT_NUM_REQUESTS"]),
    (PINNING, &["YES", "NO"], &["ENABLE_CPU_PINNING", "CPU_BIND_THREAD"]),
    (HYPER_THREADING, &["YES", "NO"], &["ENABLE_HYPER_THREADING"]),
];

/// What a number of streams may be besides a number.
const STREAM_WORDS: [&str; 2] = ["AUTO", "NUMA"];

/// Larger numbers are typing errors.
const NUMBER_MAX: u32 = 1024;

/// Parameters of Triton's backend that are not served.
const UNSERVED: [&str; 3] = ["CPU_EXTENSION_PATH", "ENABLE_BATCH_PADDING", "RESHAPE_IO_LAYOUTS"];

/// What a model's parameters say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ModelSettings {
    pub(crate) properties: Vec<(&'static str, String)>,
    /// A batch dimension that the file fixes stays as it is.
    pub(crate) keeps_batch: bool,
}

// === impl ModelSettings ===

impl ModelSettings {
    /// Reads them.
    ///
    /// # Errors
    /// A parameter that is none of what it may be, or that this backend does not serve.
    pub(crate) fn from_config(config: &ModelConfig) -> Result<Self, InferError> {
        if let Some(name) = UNSERVED.iter().find(|name| config.parameter(name).is_some_and(|text| text != "NO")) {
            let model = &config.name;
            return Err(InferError::unsupported(format!(
                "model '{model}': parameter '{name}' is not served; remove it"
            )));
        }
        word(config, "TARGET_DEVICE", &["CPU"])?;
        let skip = ["SKIP_OV_DYNAMIC_BATCHSIZE", "SKIP_DYNAMIC_BATCHSIZE"];
        let mut keeps_batch = false;
        for name in skip {
            keeps_batch |= word(config, name, &["YES", "NO"])?.is_some_and(|value| value == "YES");
        }
        Ok(Self { properties: properties(config)?, keeps_batch })
    }
}

/// In the order in which they are set: a hint first, since it changes what is not set after it.
fn properties(config: &ModelConfig) -> Result<Vec<(&'static str, String)>, InferError> {
    let mut written = Vec::new();
    for (key, words, names) in PROPERTIES {
        for name in names {
            let value = if words.is_empty() { number(config, name, &[])? } else { word(config, name, words)? };
            written.extend(value.map(|value| (key, value)));
        }
    }
    for name in ["NUM_STREAMS", "CPU_THROUGHPUT_STREAMS"] {
        written.extend(number(config, name, &STREAM_WORDS)?.map(|value| (STREAMS, value)));
    }
    for name in ["ENFORCE_BF16", "HINT_BF16"] {
        let is_on = word(config, name, &["YES", "NO"])?.is_some_and(|value| value == "YES");
        written.extend(is_on.then(|| (PRECISION, "bf16".to_owned())));
    }
    let has = |key: &str| written.iter().any(|(other, _)| *other == key);
    let hinted = has(HINT);
    let instances = instances(config).to_string();
    let mut all = vec![];
    for (key, value, by_hint) in
        [(PRECISION, "f32", false), (PINNING, "NO", false), (STREAMS, &*instances, true), (THREADS, &*instances, true)]
    {
        let is_decided = has(key) || by_hint && hinted;
        if !is_decided {
            all.push((key, value.to_owned()));
        }
    }
    all.extend(written);
    Ok(all)
}

/// Instances on the processor.
fn instances(config: &ModelConfig) -> i32 {
    let groups = config.instance_groups.iter().filter(|group| group.kind != InstanceKind::Gpu);
    groups.map(|group| group.count.max(1)).sum::<i32>().max(1)
}

fn word(config: &ModelConfig, name: &str, words: &[&str]) -> Result<Option<String>, InferError> {
    let Some(text) = config.parameter(name) else { return Ok(None) };
    let known = words.iter().find(|word| word.eq_ignore_ascii_case(text.trim()));
    let known = known.ok_or_else(|| wrong(config, name, text, &format!("one of {}", words.join(", "))))?;
    Ok(Some((*known).to_owned()))
}

/// A whole number, or one of `words`.
fn number(config: &ModelConfig, name: &str, words: &[&str]) -> Result<Option<String>, InferError> {
    let Some(text) = config.parameter(name) else { return Ok(None) };
    if let Some(word) = words.iter().find(|word| word.eq_ignore_ascii_case(text.trim())) {
        return Ok(Some((*word).to_owned()));
    }
    let number: Option<u32> = text.trim().parse().ok().filter(|number| *number <= NUMBER_MAX);
    let expected = || {
        let words: String = words.iter().map(|word| format!(" or {word}")).collect();
        wrong(config, name, text, &format!("a whole number from 0 to {NUMBER_MAX}{words}"))
    };
    number.map(|number| Some(number.to_string())).ok_or_else(expected)
}

fn wrong(config: &ModelConfig, name: &str, text: &str, expected: &str) -> InferError {
    InferError::invalid_argument(format!(
        "model '{}': parameter '{name}' is '{text}', expected {expected}",
        config.name
    ))
}

#[cfg(test)]
mod tests {
    use nereid_inference::config::InstanceGroup;

    use super::*;

    fn settings(parameters: &[(&str, &str)]) -> Result<ModelSettings, String> {
        let parameters = parameters.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let groups = vec![InstanceGroup { count: 3, ..InstanceGroup::default() }];
        let config = ModelConfig { name: "m".into(), parameters, instance_groups: groups, ..ModelConfig::default() };
        ModelSettings::from_config(&config).map_err(|error| error.to_string())
    }

    fn value(settings: &ModelSettings, key: &str) -> Option<String> {
        settings.properties.iter().rfind(|(other, _)| *other == key).map(|(_, value)| value.clone())
    }

    #[test]
    fn numbers_are_exact_and_each_instance_has_a_thread_unless_told_otherwise() {
        let plain = settings(&[]).unwrap();
        assert_eq!(value(&plain, PRECISION).as_deref(), Some("f32"));
        assert_eq!(value(&plain, STREAMS).as_deref(), Some("3"));
        assert_eq!(value(&plain, THREADS).as_deref(), Some("3"));
        assert!(!plain.keeps_batch);
        let hinted = settings(&[("PERFORMANCE_HINT", "throughput")]).unwrap();
        assert_eq!(value(&hinted, HINT).as_deref(), Some("THROUGHPUT"));
        assert_eq!(value(&hinted, STREAMS), None, "the hint decides");
    }

    #[test]
    fn parameters_are_read_under_all_their_names() {
        let written = [
            ("CPU_THREADS_NUM", "4"),
            ("NUM_STREAMS", "auto"),
            ("ENFORCE_BF16", "YES"),
            ("CPU_BIND_THREAD", "YES"),
            ("SKIP_OV_DYNAMIC_BATCHSIZE", "YES"),
            ("TARGET_DEVICE", "CPU"),
        ];
        let settings = settings(&written).unwrap();
        assert_eq!(value(&settings, THREADS).as_deref(), Some("4"));
        assert_eq!(value(&settings, STREAMS).as_deref(), Some("AUTO"));
        assert_eq!(value(&settings, PRECISION).as_deref(), Some("bf16"));
        assert_eq!(value(&settings, PINNING).as_deref(), Some("YES"));
        assert!(settings.keeps_batch);
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        let refused = |name, value| settings(&[(name, value)]).unwrap_err();
        let text =
            "model 'm': parameter 'NUM_STREAMS' is 'many', expected a whole number from 0 to 1024 or AUTO or NUMA";
        assert_eq!(refused("NUM_STREAMS", "many"), text);
        let text = "model 'm': parameter 'TARGET_DEVICE' is 'GPU', expected one of CPU";
        assert_eq!(refused("TARGET_DEVICE", "GPU"), text);
        assert_eq!(
            refused("CPU_EXTENSION_PATH", "/x.so"),
            "model 'm': parameter 'CPU_EXTENSION_PATH' is not served; remove it"
        );
    }
}
