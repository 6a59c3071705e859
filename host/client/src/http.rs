//! The protocol over HTTP: JSON for what describes, binary tensors for what is inferred.

mod repository;
mod wire;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use nereid_inference::NamedTensor;
use nereid_protocol::http::INFERENCE_HEADER_CONTENT_LENGTH;
use nereid_tensor::{Shape, Tensor};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;

use self::wire::{ConfigAnswer, InferAnswer, MetadataAnswer, OutputAnswer};
use crate::{
    arguments::HeaderArgument,
    connection::{Answer, InferCall},
    connector::Connector,
    description::Description,
    destination::Destination,
    endpoint::Endpoint,
    error::ClientError,
    literal,
};

/// Largest answer that is read; what a request may hold too.
const ANSWER_BYTES_MAX: usize = i32::MAX as usize;

/// A client of one server; keeps its connection from call to call.
pub(crate) struct HttpClient {
    endpoint: Endpoint,
    headers: Vec<HeaderArgument>,
    client: Client<Connector, Full<Bytes>>,
}

/// An answer that has arrived whole.
struct Arrived {
    status: StatusCode,
    header_bytes: Option<usize>,
    body: Bytes,
}

// === impl HttpClient ===

impl HttpClient {
    /// Connects when it is first asked.
    ///
    /// # Errors
    /// Certificates are given that cannot be used.
    pub(crate) fn new(destination: &Destination) -> Result<Self, ClientError> {
        let Destination { endpoint, headers, .. } = destination.clone();
        let connector = Connector(destination.encryption("http/1.1")?);
        Ok(Self { endpoint, headers, client: Client::builder(TokioExecutor::new()).build(connector) })
    }

    pub(crate) async fn describe(&self, model: &str, version: Option<u64>) -> Result<Description, ClientError> {
        let path = model_path(model, version);
        let metadata: MetadataAnswer = self.get(&path).await?;
        // Servers of the protocol without Triton's extension have no configuration, and no batch dimension of their own.
        let config = match self.get::<ConfigAnswer>(&format!("{path}/config")).await {
            Err(ClientError::Refused { .. }) => ConfigAnswer::default(),
            config => config?,
        };
        wire::description(metadata, config).map_err(|problem| self.bad_answer(problem))
    }

    /// Names of the models that are ready.
    pub(crate) async fn ready_models(&self) -> Result<Vec<String>, ClientError> {
        let body = Bytes::from_static(br#"{"ready":true}"#);
        let arrived = self.send(Method::POST, "/v2/repository/index", body, None).await?;
        let rows: Vec<wire::IndexRow> = self.parse(&arrived.body)?;
        Ok(rows.into_iter().map(|row| row.name).collect())
    }

    pub(crate) async fn infer(&self, call: &InferCall<'_>) -> Result<Answer, ClientError> {
        let header = wire::encode_request(call);
        let mut body = Vec::with_capacity(header.len() + call.byte_size());
        body.extend_from_slice(&header);
        for input in call.inputs {
            body.extend_from_slice(input.tensor.buffer().as_slice());
        }
        let path = format!("{}/infer", model_path(call.model, call.version));
        let arrived = self.send(Method::POST, &path, body.into(), Some(header.len())).await?;
        self.decode(&arrived)
    }

    /// The document at a path.
    pub(crate) async fn get<T: for<'de> Deserialize<'de>>(&self, path: &str) -> Result<T, ClientError> {
        let arrived = self.send(Method::GET, path, Bytes::new(), None).await?;
        self.parse(&arrived.body)
    }

    /// The document that answers another.
    pub(crate) async fn post<T: for<'de> Deserialize<'de>>(&self, path: &str, body: &Value) -> Result<T, ClientError> {
        let arrived = self.send(Method::POST, path, body.to_string().into(), None).await?;
        self.parse(&arrived.body)
    }

    /// Sends a document that is answered with success and nothing else.
    pub(crate) async fn tell(&self, path: &str, body: &Value) -> Result<(), ClientError> {
        self.send(Method::POST, path, body.to_string().into(), None).await.map(drop)
    }

    /// A name as it stands in paths.
    pub(crate) fn escaped(name: &str) -> impl std::fmt::Display + '_ {
        utf8_percent_encode(name, NON_ALPHANUMERIC)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        header_bytes: Option<usize>,
    ) -> Result<Arrived, ClientError> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.endpoint));
        if let Some(header_bytes) = header_bytes {
            request = request.header(INFERENCE_HEADER_CONTENT_LENGTH, header_bytes);
            request = request.header(CONTENT_TYPE, "application/octet-stream");
        }
        for HeaderArgument { name, value } in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body)).map_err(|error| ClientError::Arguments(error.to_string()))?;
        let response = self.client.request(request).await.map_err(|error| self.unreachable(&error))?;
        let arrived = self.gather(response).await?;
        if arrived.status.is_success() { Ok(arrived) } else { Err(refused(&arrived)) }
    }

    async fn gather(&self, response: http::Response<hyper::body::Incoming>) -> Result<Arrived, ClientError> {
        let (parts, body) = response.into_parts();
        let header_bytes = parts.headers.get(INFERENCE_HEADER_CONTENT_LENGTH);
        let header_bytes = header_bytes.and_then(|value| value.to_str().ok()?.parse().ok());
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| self.bad_answer(error.to_string()))?.to_bytes();
        Ok(Arrived { status: parts.status, header_bytes, body })
    }

    fn decode(&self, arrived: &Arrived) -> Result<Answer, ClientError> {
        let header_bytes = arrived.header_bytes.unwrap_or(arrived.body.len());
        if header_bytes > arrived.body.len() {
            return Err(
                self.bad_answer(format!("its header has {header_bytes} bytes, the whole of it {}", arrived.body.len()))
            );
        }
        let answer: InferAnswer = self.parse(&arrived.body.slice(..header_bytes))?;
        let mut rest = arrived.body.slice(header_bytes..);
        let mut outputs = Vec::with_capacity(answer.outputs.len());
        for output in answer.outputs {
            let tensor = read_output(&output, &mut rest).map_err(|problem| self.bad_answer(problem))?;
            outputs.push(NamedTensor::new(output.name, tensor));
        }
        Ok(Answer { model: answer.model_name, version: answer.model_version.unwrap_or_default(), outputs })
    }

    fn parse<T: for<'de> Deserialize<'de>>(&self, body: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(body).map_err(|error| self.bad_answer(error.to_string()))
    }

    fn bad_answer(&self, problem: String) -> ClientError {
        ClientError::BadAnswer { endpoint: self.endpoint.clone(), problem }
    }

    fn unreachable(&self, error: &hyper_util::client::legacy::Error) -> ClientError {
        let reason = match std::error::Error::source(error) {
            Some(source) => root_cause(source),
            None => error.to_string(),
        };
        ClientError::Unreachable { endpoint: self.endpoint.clone(), reason }
    }
}

/// The last in the chain: the operating system's own words.
pub(crate) fn root_cause(mut error: &(dyn std::error::Error + 'static)) -> String {
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

fn model_path(model: &str, version: Option<u64>) -> String {
    let model = HttpClient::escaped(model);
    match version {
        Some(version) => format!("/v2/models/{model}/versions/{version}"),
        None => format!("/v2/models/{model}"),
    }
}

fn refused(arrived: &Arrived) -> ClientError {
    let error: Result<wire::ErrorAnswer, _> = serde_json::from_slice(&arrived.body);
    let message = match error {
        Ok(error) => error.error,
        Err(_) => String::from_utf8_lossy(&arrived.body).trim().to_owned(),
    };
    ClientError::Refused { status: arrived.status.to_string(), message }
}

/// Takes the output's bytes from the front of `rest`, or its elements from the JSON.
fn read_output(output: &OutputAnswer, rest: &mut Bytes) -> Result<Tensor, String> {
    let name = &output.name;
    let data_type = output.datatype.parse().map_err(|error| format!("output '{name}': {error}"))?;
    let shape = Shape::from_signed(&output.shape).map_err(|error| format!("output '{name}': {error}"))?;
    let bytes = match (output.parameters.binary_data_size, &output.data) {
        (Some(size), _) if size <= rest.len() => rest.split_to(size),
        (Some(size), _) => return Err(format!("output '{name}' has {size} bytes, {} are left", rest.len())),
        (None, Some(data)) => {
            let elements =
                literal::parse_list(data, data_type).map_err(|problem| format!("output '{name}': {problem}"))?;
            elements.bytes.into()
        }
        (None, None) => return Err(format!("output '{name}' has no data")),
    };
    Tensor::new(data_type, shape, bytes.into()).map_err(|error| format!("output '{name}': {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> HttpClient {
        HttpClient::new(&Destination::open("127.0.0.1:1".parse().unwrap())).unwrap()
    }

    /// Decodes an answer of a JSON header and binary tensors.
    fn decode(header: &str, tensors: &[u8]) -> Result<Answer, String> {
        let body = [header.as_bytes(), tensors].concat().into();
        let arrived = Arrived { status: StatusCode::OK, header_bytes: Some(header.len()), body };
        client().decode(&arrived).map_err(|error| error.to_string())
    }

    #[test]
    fn outputs_are_read_from_binary_and_from_json() {
        let header = concat!(
            r#"{"model_name":"m","model_version":"3","outputs":["#,
            r#"{"name":"A","datatype":"INT16","shape":[2],"parameters":{"binary_data_size":4}},"#,
            r#"{"name":"B","datatype":"FP32","shape":[1,2],"data":[1.5,2]},"#,
            r#"{"name":"C","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":6}}]}"#
        );
        let answer = decode(header, b"\x01\0\x02\0\x02\0\0\0hi").unwrap();
        assert_eq!((answer.model.as_str(), answer.version.as_str()), ("m", "3"));
        assert_eq!(answer.outputs[0].tensor.elements::<i16>().unwrap().as_ref(), [1, 2]);
        assert_eq!(answer.outputs[1].tensor.elements::<f32>().unwrap().as_ref(), [1.5, 2.0]);
        assert_eq!(answer.outputs[2].tensor.byte_strings().collect::<Vec<_>>(), [b"hi"]);
    }

    #[test]
    fn an_answer_that_lies_is_refused() {
        let output = |size: usize| {
            format!(
                r#"{{"model_name":"m","outputs":[{{"name":"A","datatype":"INT16","shape":[2],"parameters":{{"binary_data_size":{size}}}}}]}}"#
            )
        };
        let start = "the answer of http://127.0.0.1:1 cannot be understood: output 'A'";
        assert_eq!(decode(&output(4), b"123").unwrap_err(), format!("{start} has 4 bytes, 3 are left"));
        let mismatch = format!("{start}: expected 4 bytes for shape [2] of INT16, got 3");
        assert_eq!(decode(&output(3), b"123").unwrap_err(), mismatch);
        assert!(decode("{}", b"").unwrap_err().contains("missing field `model_name`"));
    }

    #[test]
    fn names_are_escaped_in_paths() {
        assert_eq!(model_path("a/b c", Some(2)), "/v2/models/a%2Fb%20c/versions/2");
    }
}
