//! Shared memory over HTTP: where a tensor's parameters say that its elements are, and the bodies of the resource.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use nereid_inference::{CudaRegion, CudaRegistration, ExternalMemory, InferError, MemoryRegions, SystemRegion};
use serde::{Deserialize, Serialize};

use super::{
    metadata::to_json,
    scalar::{Object, Scalar},
    wire::parse_json,
};

/// Names the region; whoever has it lies in shared memory.
pub(super) const REGION_PARAMETER: &str = "shared_memory_region";
const OFFSET_PARAMETER: &str = "shared_memory_offset";
const SIZE_PARAMETER: &str = "shared_memory_byte_size";

/// Bytes of a region as the parameters of a tensor name them. Offset and size are 0 where they are left out.
pub(super) struct RegionSpan<'a> {
    region: &'a str,
    offset: u64,
    byte_size: u64,
}

#[derive(Deserialize)]
struct RegisterBody<'a> {
    #[serde(borrow)]
    key: Option<Scalar<'a>>,
    #[serde(borrow)]
    offset: Option<Scalar<'a>>,
    #[serde(borrow)]
    byte_size: Option<Scalar<'a>>,
}

#[derive(Deserialize)]
struct CudaRegisterBody<'a> {
    #[serde(borrow)]
    raw_handle: Option<Object<'a>>,
    #[serde(borrow)]
    device_id: Option<Scalar<'a>>,
    #[serde(borrow)]
    byte_size: Option<Scalar<'a>>,
}

#[derive(Serialize)]
struct SystemRow<'a> {
    name: &'a str,
    key: &'a str,
    offset: u64,
    byte_size: u64,
}

#[derive(Serialize)]
struct CudaRow<'a> {
    name: &'a str,
    device_id: u64,
    byte_size: u64,
}

/// Reads the body that registers the region called `name`.
///
/// # Errors
/// `InvalidArgument` for a missing member, `Internal` for malformed JSON or a member of the wrong type.
pub fn decode_register_request(name: String, body: &[u8]) -> Result<SystemRegion, InferError> {
    let body: RegisterBody<'_> = if body.is_empty() { parse_json(b"{}")? } else { parse_json(body)? };
    let missing =
        |field: &str| InferError::invalid_argument(format!("Shared memory register request has no '{field}' field"));
    let key = body.key.ok_or_else(|| missing("key"))?.text("key")?.to_owned();
    let offset = body.offset.map_or(Ok(0), |offset| offset.uint("offset"))?;
    let byte_size = body.byte_size.ok_or_else(|| missing("byte_size"))?.uint("byte_size")?;
    Ok(SystemRegion { name, key, offset, byte_size })
}

/// Reads the body that registers the region of device memory called `name`.
///
/// # Errors
/// `InvalidArgument` for a missing member or a handle that is not base64, `Internal` for malformed JSON or a member of the
/// wrong type.
pub fn decode_cuda_register_request(name: String, body: &[u8]) -> Result<CudaRegistration, InferError> {
    let body: CudaRegisterBody<'_> = if body.is_empty() { parse_json(b"{}")? } else { parse_json(body)? };
    let missing =
        |field: &str| InferError::invalid_argument(format!("Shared memory register request has no '{field}' field"));
    let handle = body.raw_handle.ok_or_else(|| missing("raw_handle"))?;
    let encoded = handle.get("b64").ok_or_else(|| missing("b64"))?.text("b64")?;
    let raw_handle = STANDARD.decode(encoded).map_err(|error| {
        InferError::invalid_argument(format!(
            "Unable to parse 'b64': the handle of region '{name}' is not base64: {error}"
        ))
    })?;
    let device_id = body.device_id.map_or(Ok(0), |id| id.uint("device_id"))?;
    let device_id = i64::try_from(device_id).unwrap_or(i64::MAX);
    let byte_size = body.byte_size.ok_or_else(|| missing("byte_size"))?.uint("byte_size")?;
    Ok(CudaRegistration { name, raw_handle, device_id, byte_size })
}

/// The status of regions of system memory.
pub fn encode_system_regions(regions: &[SystemRegion]) -> Vec<u8> {
    fn row(region: &SystemRegion) -> SystemRow<'_> {
        let SystemRegion { name, key, offset, byte_size } = region;
        SystemRow { name, key, offset: *offset, byte_size: *byte_size }
    }
    to_json(&regions.iter().map(row).collect::<Vec<_>>())
}

/// The status of regions of device memory.
pub fn encode_cuda_regions(regions: &[CudaRegion]) -> Vec<u8> {
    fn row(region: &CudaRegion) -> CudaRow<'_> {
        let CudaRegion { name, device_id, byte_size } = region;
        CudaRow { name, device_id: *device_id, byte_size: *byte_size }
    }
    to_json(&regions.iter().map(row).collect::<Vec<_>>())
}

// === impl RegionSpan ===

impl<'a> RegionSpan<'a> {
    /// What `region`, the value of [`REGION_PARAMETER`], and the tensor's other parameters say.
    pub(super) fn parse(region: &'a Scalar<'_>, parameters: Option<&Object<'_>>) -> Result<Self, InferError> {
        let parameter = |name| parameters.and_then(|parameters| parameters.get(name));
        let uint = |name| parameter(name).map_or(Ok(0), |value| value.uint(name));
        Ok(Self {
            region: region.text(REGION_PARAMETER)?,
            offset: uint(OFFSET_PARAMETER)?,
            byte_size: uint(SIZE_PARAMETER)?,
        })
    }

    /// The memory itself.
    pub(super) fn find(&self, regions: &dyn MemoryRegions) -> Result<Arc<dyn ExternalMemory>, InferError> {
        regions.span(self.region, self.offset, self.byte_size)
    }
}

#[cfg(test)]
mod tests {
    use nereid_inference::ErrorKind;

    use super::*;

    #[track_caller]
    fn check_refused(body: &str, kind: ErrorKind, text: &str) {
        let error = decode_register_request("R".into(), body.as_bytes()).unwrap_err();
        assert_eq!((error.kind(), error.message()), (kind, text));
    }

    #[test]
    fn a_region_is_registered_with_a_key_and_a_size_and_perhaps_an_offset() {
        let decode = |body: &str| decode_register_request("R".into(), body.as_bytes()).unwrap();
        let whole = decode(r#"{"key":"/k","byte_size":64}"#);
        assert_eq!(whole, SystemRegion { name: "R".into(), key: "/k".into(), offset: 0, byte_size: 64 });
        assert_eq!(decode(r#"{"key":"/k","byte_size":64,"offset":8,"more":[]}"#).offset, 8);
    }

    #[test]
    fn a_region_of_a_device_is_registered_with_a_handle() {
        let decode = |body: &str| decode_cuda_register_request("R".into(), body.as_bytes());
        let region = decode(r#"{"raw_handle":{"b64":"AAEC"},"device_id":1,"byte_size":64}"#).unwrap();
        let expected = CudaRegistration { name: "R".into(), raw_handle: vec![0, 1, 2], device_id: 1, byte_size: 64 };
        assert_eq!(region, expected);
        let refused = |body: &str| decode(body).unwrap_err().message().to_owned();
        assert_eq!(refused(""), "Shared memory register request has no 'raw_handle' field");
        assert_eq!(refused(r#"{"raw_handle":{}}"#), "Shared memory register request has no 'b64' field");
        let text = refused(r#"{"raw_handle":{"b64":"?"},"byte_size":1}"#);
        assert!(text.starts_with("Unable to parse 'b64': the handle of region 'R' is not base64"), "{text}");
        let text = refused(r#"{"raw_handle":{"b64":"AA=="}}"#);
        assert_eq!(text, "Shared memory register request has no 'byte_size' field");
    }

    #[test]
    fn what_is_missing_is_named() {
        let no = |field: &str| format!("Shared memory register request has no '{field}' field");
        check_refused("", ErrorKind::InvalidArgument, &no("key"));
        check_refused(r#"{"byte_size":64}"#, ErrorKind::InvalidArgument, &no("key"));
        check_refused(r#"{"key":"/k"}"#, ErrorKind::InvalidArgument, &no("byte_size"));
        let text = "Unable to parse 'byte_size': attempt to access JSON non-unsigned-integer as unsigned-integer";
        check_refused(r#"{"key":"/k","byte_size":-1}"#, ErrorKind::Internal, text);
    }

    #[test]
    fn status_is_a_list_of_what_was_registered() {
        let region = SystemRegion { name: "R\"".into(), key: "/k".into(), offset: 8, byte_size: 64 };
        let json = encode_system_regions(&[region]);
        assert_eq!(json, br#"[{"name":"R\"","key":"/k","offset":8,"byte_size":64}]"#);
        assert_eq!(encode_system_regions(&[]), b"[]");
        let region = CudaRegion { name: "C".into(), device_id: 1, byte_size: 2 };
        assert_eq!(encode_cuda_regions(&[region]), br#"[{"name":"C","device_id":1,"byte_size":2}]"#);
    }
}
