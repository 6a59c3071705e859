//! The JSON headers of frames: what the host says, and what it reads.
//!
//! `runner/nereid_runner/loop.py` and `host.py` are the other side. What is read has a type here, so that a runner that says
//! something else is refused before anything is done.

use std::{collections::BTreeMap, fmt};

use nereid_inference::{ErrorKind, InferError, ParameterValue, Parameters, SequenceFlags, SequenceId};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, IntoDeserializer as _, MapAccess, Visitor, value::MapAccessDeserializer},
    ser::SerializeMap as _,
};

use crate::payload::{TensorRow, TensorRowOut};

/// The first request of a sequence, and its last one, as Triton numbers them.
pub(crate) const SEQUENCE_START: u32 = 1;
pub(crate) const SEQUENCE_END: u32 = 2;

/// What the host asks on the first connection.
#[derive(Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(crate) enum Order<'a> {
    /// Import the model, and have it complete its configuration.
    Complete {
        file: &'a str,
        directory: &'a str,
        instance: &'a str,
        model: &'a str,
        decoupled: bool,
        config: &'a str,
    },
    /// Import the model and initialise it.
    Start {
        file: &'a str,
        directory: &'a str,
        instance: &'a str,
        model: &'a str,
        decoupled: bool,
        args: BTreeMap<&'a str, String>,
    },
    Execute {
        requests: Vec<RequestRow<'a>>,
    },
    Finalize,
}

/// One request of a batch; written without the names, in this order.
pub(crate) struct RequestRow<'a> {
    pub(crate) slot: u64,
    pub(crate) id: &'a str,
    pub(crate) correlation: Correlation<'a>,
    pub(crate) flags: u32,
    /// Microseconds; 0 for none.
    pub(crate) timeout: u64,
    pub(crate) parameters: ParameterRow<'a>,
    pub(crate) wanted: Vec<&'a str>,
    pub(crate) inputs: Vec<TensorRowOut<'a>>,
}

/// A sequence's id; 0 for none.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Correlation<'a> {
    Number(u64),
    Text(&'a str),
}

/// Parameters as an object.
pub(crate) struct ParameterRow<'a>(pub(crate) &'a Parameters);

/// What came of loading or of completing.
#[derive(Deserialize)]
pub(crate) struct Loaded {
    pub(crate) error: Option<String>,
    #[serde(default)]
    pub(crate) has_is_ready: bool,
    pub(crate) config: Option<serde_json::Value>,
}

/// What came of a batch.
#[derive(Deserialize)]
pub(crate) struct Executed {
    pub(crate) error: Option<String>,
    #[serde(default)]
    pub(crate) answers: Vec<Answer>,
}

/// What came of one request: a word, or an object.
pub(crate) enum Answer {
    Word(Later),
    Response(ResponseRow),
}

/// A request that is not answered yet.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Later {
    /// The model answers through the sender, or did.
    Deferred,
    /// To be executed again.
    Again,
}

/// A response of a model.
#[derive(Default, Deserialize)]
pub(crate) struct ResponseRow {
    #[serde(default)]
    pub(crate) o: Vec<TensorRow>,
    #[serde(default)]
    pub(crate) p: BTreeMap<String, Scalar>,
    pub(crate) e: Option<(u32, String)>,
}

/// A parameter's value.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Scalar {
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(String),
}

/// What a runner says on the second connection.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(crate) enum Said {
    /// A response through a sender, or its end.
    Send {
        call: u64,
        slot: u64,
        r#final: bool,
        response: Option<ResponseRow>,
    },
    /// The model forgot a request.
    Drop {
        slot: u64,
    },
    Cancelled {
        call: u64,
        slot: u64,
    },
    Log {
        level: String,
        text: String,
    },
    MetricOpen {
        call: u64,
        name: String,
        description: String,
        kind: String,
        labels: BTreeMap<String, String>,
        buckets: Vec<f64>,
    },
    Metric {
        call: u64,
        metric: usize,
        verb: String,
        value: f64,
    },
    Infer(Box<InferCall>),
    /// The next response of a stream.
    Next {
        call: u64,
        stream: u64,
    },
    /// Nobody wants the rest of it.
    Close {
        stream: u64,
    },
    Load {
        call: u64,
        model: String,
        config: String,
        files: Vec<(String, u64, u64)>,
    },
    Unload {
        call: u64,
        model: String,
        dependents: bool,
    },
    ModelReady {
        call: u64,
        model: String,
        version: String,
    },
    Readiness {
        call: u64,
        ready: bool,
        error: String,
    },
}

/// A call of another model.
#[derive(Deserialize)]
pub(crate) struct InferCall {
    pub(crate) call: u64,
    pub(crate) model: String,
    /// Negative for the one that is served.
    pub(crate) version: i64,
    pub(crate) rid: String,
    pub(crate) corr: CorrelationIn,
    pub(crate) flags: u32,
    pub(crate) timeout: u64,
    pub(crate) want: Vec<String>,
    #[serde(rename = "in")]
    pub(crate) inputs: Vec<TensorRow>,
    /// The request whose trace it belongs to; 0 for none.
    pub(crate) trace: u64,
    pub(crate) decoupled: bool,
    #[serde(default)]
    pub(crate) p: BTreeMap<String, Scalar>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum CorrelationIn {
    Number(u64),
    Text(String),
}

/// What the host answers on the second connection.
#[derive(Default, Serialize)]
pub(crate) struct Reply {
    pub(crate) op: &'static str,
    pub(crate) call: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stream: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) response: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last: Option<bool>,
}

// === impl Answer ===

impl<'de> Deserialize<'de> for Answer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnswerVisitor)
    }
}

/// Knows by the first character what is to come, so that nothing is kept and read again.
struct AnswerVisitor;

impl<'de> Visitor<'de> for AnswerVisitor {
    type Value = Answer;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a response, \"deferred\" or \"again\"")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Answer, E> {
        Later::deserialize(word.into_deserializer()).map(Answer::Word)
    }

    fn visit_map<A: MapAccess<'de>>(self, row: A) -> Result<Answer, A::Error> {
        ResponseRow::deserialize(MapAccessDeserializer::new(row)).map(Answer::Response)
    }
}

// === impl Correlation ===

impl<'a> Correlation<'a> {
    /// The id and the flags of a request.
    pub(crate) fn of(sequence: Option<&'a SequenceFlags>) -> (Self, u32) {
        let Some(sequence) = sequence else { return (Self::Number(0), 0) };
        let id = match &sequence.id {
            SequenceId::Number(number) => Self::Number(*number),
            SequenceId::Text(text) => Self::Text(text),
        };
        let start = if sequence.start { SEQUENCE_START } else { 0 };
        (id, start | if sequence.end { SEQUENCE_END } else { 0 })
    }
}

impl CorrelationIn {
    /// The sequence that a call belongs to.
    pub(crate) fn sequence(self, flags: u32) -> Option<SequenceFlags> {
        let id = match self {
            Self::Number(0) => return None,
            Self::Number(number) => SequenceId::Number(number),
            Self::Text(text) if text.is_empty() => return None,
            Self::Text(text) => SequenceId::Text(text),
        };
        Some(SequenceFlags { id, start: flags & SEQUENCE_START != 0, end: flags & SEQUENCE_END != 0 })
    }
}

// === impl RequestRow ===

impl Serialize for RequestRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { slot, id, correlation, flags, timeout, parameters, wanted, inputs } = self;
        (slot, id, correlation, flags, timeout, parameters, wanted, inputs).serialize(serializer)
    }
}

// === impl ParameterRow ===

impl Serialize for ParameterRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0.iter() {
            match value {
                ParameterValue::Bool(value) => object.serialize_entry(name, value)?,
                ParameterValue::Int(value) => object.serialize_entry(name, value)?,
                ParameterValue::Uint(value) => object.serialize_entry(name, value)?,
                ParameterValue::Double(value) => object.serialize_entry(name, value)?,
                ParameterValue::String(value) => object.serialize_entry(name, value)?,
            }
        }
        object.end()
    }
}

/// Parameters as they are read.
pub(crate) fn parameters(rows: BTreeMap<String, Scalar>) -> Parameters {
    let value = |scalar| match scalar {
        Scalar::Bool(value) => ParameterValue::Bool(value),
        Scalar::Int(value) => ParameterValue::Int(value),
        Scalar::Uint(value) => ParameterValue::Uint(value),
        Scalar::Double(value) => ParameterValue::Double(value),
        Scalar::Text(value) => ParameterValue::String(value),
    };
    rows.into_iter().map(|(name, scalar)| (name, value(scalar))).collect()
}

/// The codes of `pb_utils.TritonError`, in order, and what each is here.
const CODES: [ErrorKind; 8] = [
    ErrorKind::Internal,
    ErrorKind::Internal,
    ErrorKind::NotFound,
    ErrorKind::InvalidArgument,
    ErrorKind::Unavailable,
    ErrorKind::Unsupported,
    ErrorKind::AlreadyExists,
    ErrorKind::Cancelled,
];

/// A model's own error.
pub(crate) fn error_of((code, text): (u32, String)) -> InferError {
    let kind = usize::try_from(code).ok().and_then(|code| CODES.get(code)).copied();
    InferError::new(kind.unwrap_or(ErrorKind::Internal), text)
}

/// The code that a model sees for an error of another model.
pub(crate) fn code_of(error: &InferError) -> u32 {
    match error.kind() {
        ErrorKind::Internal => 1,
        ErrorKind::NotFound => 2,
        ErrorKind::InvalidArgument => 3,
        ErrorKind::Unavailable | ErrorKind::ResourceExhausted | ErrorKind::DeadlineExceeded => 4,
        ErrorKind::Unsupported | ErrorKind::Permission => 5,
        ErrorKind::AlreadyExists => 6,
        ErrorKind::Cancelled => 7,
    }
}
