//! Regions from their registration to the tensors that lie in them, over real objects of the system.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};

use nereid_shared_memory::{SharedMemory, SharedMemorySettings};
use tokio::sync::mpsc;

use super::doubles::{Answer, Behaviour, ask, double, frontend};
use crate::HttpFrontend;

/// An object of the bytes 0, 1, 2, …, gone with the test.
struct Object {
    path: PathBuf,
    key: String,
}

impl Object {
    fn new(length_bytes: u8) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let key = format!("/nereid_http_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = PathBuf::from(format!("/dev/shm{key}"));
        fs::write(&path, (0..length_bytes).collect::<Vec<u8>>()).unwrap();
        Self { path, key }
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(&self.path).unwrap()
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// The one door: a request's status and body.
async fn check(frontend: &HttpFrontend, line: &str, body: &str, (status, expected): (u16, &str)) {
    let Answer { status: found, body: answer, .. } = ask(frontend.clone(), line, &[], body.as_bytes()).await;
    assert_eq!((found.as_u16(), &*String::from_utf8_lossy(&answer)), (status, expected), "{line} {body}");
}

fn echo() -> HttpFrontend {
    frontend(vec![double("m", Behaviour::Echo)])
}

async fn register(frontend: &HttpFrontend, name: &str, object: &Object) {
    let body = format!(r#"{{"key":"{}","offset":0,"byte_size":{}}}"#, object.key, object.bytes().len());
    check(frontend, &format!("POST /v2/systemsharedmemory/region/{name}/register"), &body, (200, "")).await;
}

/// A request whose input and output lie in region `R`: one float from byte 0 to byte 8.
const IN_REGION: &str = r#"{"inputs":[{"name":"X","shape":[1],"datatype":"FP32","parameters":{"shared_memory_region":"R","shared_memory_byte_size":4}}],
    "outputs":[{"name":"X","parameters":{"shared_memory_region":"R","shared_memory_offset":8,"shared_memory_byte_size":4}}]}"#;

#[tokio::test]
async fn a_region_is_registered_seen_and_unregistered() {
    let (frontend, object) = (echo(), Object::new(16));
    check(&frontend, "GET /v2/systemsharedmemory/status", "", (200, "[]")).await;
    register(&frontend, "a%20b", &object).await;
    let row = format!(r#"[{{"name":"a b","key":"{}","offset":0,"byte_size":16}}]"#, object.key);
    check(&frontend, "GET /v2/systemsharedmemory/status", "", (200, &row)).await;
    check(&frontend, "GET /v2/systemsharedmemory/region/a%20b/status", "", (200, &row)).await;
    let body = format!(r#"{{"key":"{}","byte_size":16}}"#, object.key);
    let taken = r#"{"error":"shared memory region 'a b' already in manager"}"#;
    check(&frontend, "POST /v2/systemsharedmemory/region/a%20b/register", &body, (400, taken)).await;
    check(&frontend, "POST /v2/systemsharedmemory/region/other/unregister", "", (200, "")).await;
    check(&frontend, "POST /v2/systemsharedmemory/region/a%20b/unregister", "", (200, "")).await;
    let unknown = r#"{"error":"Unable to find system shared memory region: 'a b'"}"#;
    check(&frontend, "GET /v2/systemsharedmemory/region/a%20b/status", "", (404, unknown)).await;
    register(&frontend, "c", &object).await;
    check(&frontend, "POST /v2/systemsharedmemory/unregister", "", (200, "")).await;
    check(&frontend, "GET /v2/systemsharedmemory/status", "", (200, "[]")).await;
}

#[tokio::test]
async fn what_cannot_be_registered_is_refused_in_tritons_words() {
    let frontend = echo();
    let line = "POST /v2/systemsharedmemory/region/R/register";
    let no_key = r#"{"error":"Shared memory register request has no 'key' field"}"#;
    check(&frontend, line, "", (400, no_key)).await;
    let invalid = r#"{"error":"cannot register shared memory region 'R' - invalid shm key '/'"}"#;
    check(&frontend, line, r#"{"key":"/","byte_size":1}"#, (400, invalid)).await;
    let no_name = r#"{"error":"'region name' is necessary to register system shared memory region"}"#;
    check(&frontend, "POST /v2/systemsharedmemory/register", "{}", (400, no_name)).await;
    let wrong = (405, r#"{"error":"Method Not Allowed"}"#);
    check(&frontend, "GET /v2/systemsharedmemory/region/R/register", "", wrong).await;
    check(&frontend, "POST /v2/systemsharedmemory/status", "", wrong).await;
}

#[tokio::test]
async fn device_memory_is_refused_by_name() {
    let frontend = echo();
    check(&frontend, "GET /v2/cudasharedmemory/status", "", (200, "[]")).await;
    let unknown = r#"{"error":"Unable to find cuda shared memory region: 'R'"}"#;
    check(&frontend, "GET /v2/cudasharedmemory/region/R/status", "", (404, unknown)).await;
    let refused = r#"{"error":"failed to register CUDA shared memory region: 'R', GPUs not supported"}"#;
    check(&frontend, "POST /v2/cudasharedmemory/region/R/register", "{}", (400, refused)).await;
    check(&frontend, "POST /v2/cudasharedmemory/unregister", "", (200, "")).await;
}

#[tokio::test]
async fn where_it_is_not_allowed_nothing_but_status_answers() {
    let mut frontend = echo();
    frontend.shared_memory = SharedMemory::new(SharedMemorySettings::new(false));
    let text =
        r#"{"error":"Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable."}"#;
    for kind in ["system", "cuda"] {
        for action in ["register", "region/R/register", "unregister", "region/R/unregister"] {
            check(&frontend, &format!("POST /v2/{kind}sharedmemory/{action}"), "", (501, text)).await;
        }
        check(&frontend, &format!("GET /v2/{kind}sharedmemory/status"), "", (200, "[]")).await;
    }
    let unknown = r#"{"error":"Unable to find shared memory region: 'R'"}"#;
    check(&frontend, "POST /v2/models/m/infer", IN_REGION, (404, unknown)).await;
}

#[tokio::test]
async fn a_tensor_goes_from_region_to_region() {
    let (frontend, object) = (echo(), Object::new(16));
    register(&frontend, "R", &object).await;
    let answer = r#"{"model_name":"m","model_version":"1","outputs":[{"name":"X","datatype":"FP32","shape":[1]}]}"#;
    check(&frontend, "POST /v2/models/m/infer", IN_REGION, (200, answer)).await;
    assert_eq!(object.bytes(), [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15]);
    let small = IN_REGION.replace(r#""shared_memory_byte_size":4}}]}"#, r#""shared_memory_byte_size":3}}]}"#);
    let text = r#"{"error":"shared memory size specified with the request for output 'X' (3 bytes) should be at least 4 bytes to hold the results"}"#;
    check(&frontend, "POST /v2/models/m/infer", &small, (500, text)).await;
}

#[tokio::test]
async fn an_object_that_is_cut_short_under_a_request_fails_it_and_no_other() {
    let (held, mut requests) = mpsc::unbounded_channel();
    let mut frontend = frontend(vec![double("m", Behaviour::Echo), double("held", Behaviour::Hold(held))]);
    frontend.settings.limits.input_bytes_max = 1 << 20;
    let (lost, whole) = (Object::new(16), Object::new(16));
    register(&frontend, "R", &lost).await;
    register(&frontend, "S", &whole).await;
    // The request waits in its model while its memory goes away.
    let asked = tokio::spawn(ask(frontend.clone(), "POST /v2/models/held/infer", &[], IN_REGION.as_bytes()));
    let sender = requests.recv().await.unwrap();
    check(&frontend, "POST /v2/systemsharedmemory/region/R/unregister", "", (200, "")).await;
    let row = format!(r#"[{{"name":"R","key":"{}","offset":0,"byte_size":16}}]"#, lost.key);
    check(&frontend, "GET /v2/systemsharedmemory/region/R/status", "", (200, &row)).await;
    fs::OpenOptions::new().write(true).open(&lost.path).unwrap().set_len(0).unwrap();
    let output = nereid_tensor::Tensor::from_elements([1], &[1.0_f32]).unwrap();
    let output = nereid_inference::NamedTensor::new("X", output);
    sender.respond(Ok(nereid_inference::InferResponse::new(vec![output])));
    let answer = asked.await.unwrap();
    assert_eq!(answer.status, 400, "{answer:?}");
    let text = format!(r#"{{"error":"shared memory region 'R' is damaged: its object '{}' no longer backs"#, lost.key);
    assert!(answer.body.starts_with(text.as_bytes()), "{answer:?}");
    // The request was the last to use it.
    let unknown = r#"{"error":"Unable to find system shared memory region: 'R'"}"#;
    check(&frontend, "GET /v2/systemsharedmemory/region/R/status", "", (404, unknown)).await;
    let others = IN_REGION.replace(r#":"R""#, r#":"S""#);
    let answer = r#"{"model_name":"m","model_version":"1","outputs":[{"name":"X","datatype":"FP32","shape":[1]}]}"#;
    check(&frontend, "POST /v2/models/m/infer", &others, (200, answer)).await;
}
