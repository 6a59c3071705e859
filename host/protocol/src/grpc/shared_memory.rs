//! Shared memory over gRPC: where a tensor's parameters say that its elements are, and the messages of the resource.

use std::{collections::BTreeMap, sync::Arc};

use nereid_inference::{CudaRegion, CudaRegistration, ExternalMemory, InferError, MemoryRegions, SystemRegion};

use super::proto::{
    CudaSharedMemoryRegisterRequest, CudaSharedMemoryStatusResponse, InferParameter, SystemSharedMemoryRegisterRequest,
    SystemSharedMemoryStatusResponse, cuda_shared_memory_status_response, infer_parameter::ParameterChoice,
    system_shared_memory_status_response,
};

/// Names the region; whoever has it lies in shared memory.
pub(super) const REGION_PARAMETER: &str = "shared_memory_region";
const OFFSET_PARAMETER: &str = "shared_memory_offset";
const SIZE_PARAMETER: &str = "shared_memory_byte_size";

/// Bytes of a region as the parameters of a tensor name them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RegionSpan<'a> {
    region: &'a str,
    offset: u64,
    byte_size: u64,
}

/// The region that is to be registered.
pub fn decode_register_request(message: SystemSharedMemoryRegisterRequest) -> SystemRegion {
    let SystemSharedMemoryRegisterRequest { name, key, offset, byte_size } = message;
    SystemRegion { name, key, offset, byte_size }
}

/// The region of device memory that is to be registered.
pub fn decode_cuda_register_request(message: CudaSharedMemoryRegisterRequest) -> CudaRegistration {
    let CudaSharedMemoryRegisterRequest { name, raw_handle, device_id, byte_size } = message;
    CudaRegistration { name, raw_handle: raw_handle.into(), device_id, byte_size }
}

/// The status of regions of system memory.
pub fn encode_system_regions(regions: Vec<SystemRegion>) -> SystemSharedMemoryStatusResponse {
    use system_shared_memory_status_response::RegionStatus;
    let entry =
        |SystemRegion { name, key, offset, byte_size }| (name.clone(), RegionStatus { name, key, offset, byte_size });
    SystemSharedMemoryStatusResponse { regions: regions.into_iter().map(entry).collect() }
}

/// The status of regions of device memory.
pub fn encode_cuda_regions(regions: Vec<CudaRegion>) -> CudaSharedMemoryStatusResponse {
    use cuda_shared_memory_status_response::RegionStatus;
    let entry = |CudaRegion { name, device_id, byte_size }| (name.clone(), RegionStatus { name, device_id, byte_size });
    CudaSharedMemoryStatusResponse { regions: regions.into_iter().map(entry).collect() }
}

// === impl RegionSpan ===

impl<'a> RegionSpan<'a> {
    /// What the parameters of `tensor` say; `None` when it is in the message.
    ///
    /// # Errors
    /// `InvalidArgument`: a value of the wrong type, a region without a size, or a size or an offset without a region.
    pub(super) fn parse(
        tensor: &str,
        parameters: &'a BTreeMap<String, InferParameter>,
    ) -> Result<Option<Self>, InferError> {
        let choice = |key: &str| parameters.get(key).map(|parameter| parameter.parameter_choice.as_ref());
        let region = match choice(REGION_PARAMETER) {
            Some(Some(ParameterChoice::StringParam(region))) => Some(region.as_str()),
            Some(_) => return Err(wrong_type(tensor, REGION_PARAMETER, "string_param")),
            None => None,
        };
        let number = |key: &str| match choice(key) {
            Some(_) if region.is_none() => Err(InferError::invalid_argument(format!(
                "'{key}' can not be specified without '{REGION_PARAMETER}' parameter for tensor '{tensor}'"
            ))),
            // Negative numbers become so large that no region holds them.
            Some(Some(ParameterChoice::Int64Param(number))) => Ok(Some(number.cast_unsigned())),
            Some(_) => Err(wrong_type(tensor, key, "int64_param")),
            None => Ok(None),
        };
        let (offset, byte_size) = (number(OFFSET_PARAMETER)?, number(SIZE_PARAMETER)?);
        let Some(region) = region else { return Ok(None) };
        let byte_size = byte_size.ok_or_else(|| {
            InferError::invalid_argument(format!(
                "'{SIZE_PARAMETER}' must be specified along with '{REGION_PARAMETER}' parameter for tensor '{tensor}'"
            ))
        })?;
        Ok(Some(Self { region, offset: offset.unwrap_or(0), byte_size }))
    }

    /// The memory itself.
    pub(super) fn find(&self, regions: &dyn MemoryRegions) -> Result<Arc<dyn ExternalMemory>, InferError> {
        regions.span(self.region, self.offset, self.byte_size)
    }
}

fn wrong_type(tensor: &str, key: &str, expected: &str) -> InferError {
    InferError::invalid_argument(format!(
        "invalid value type for '{key}' parameter for tensor '{tensor}', expected {expected}."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> ParameterChoice {
        ParameterChoice::StringParam(value.into())
    }

    /// The one door: the span, or the refusal, that parameters of tensor `T` stand for.
    #[track_caller]
    fn check(parameters: &[(&str, ParameterChoice)], expected: Result<Option<RegionSpan<'_>>, &str>) {
        let parameters = parameters
            .iter()
            .map(|(key, choice)| (key.to_string(), InferParameter { parameter_choice: Some(choice.clone()) }));
        let parameters = parameters.collect();
        let found = RegionSpan::parse("T", &parameters);
        assert_eq!(found.as_ref().map_err(InferError::message), expected.as_ref().map_err(|text| *text));
    }

    #[test]
    fn a_span_has_a_region_a_size_and_perhaps_an_offset() {
        use ParameterChoice::Int64Param;
        check(&[("classification", Int64Param(3))], Ok(None));
        let (region, size) = ((REGION_PARAMETER, text("R")), (SIZE_PARAMETER, Int64Param(64)));
        let span = RegionSpan { region: "R", offset: 0, byte_size: 64 };
        check(&[region.clone(), size.clone()], Ok(Some(span)));
        let span = RegionSpan { region: "R", offset: u64::MAX, byte_size: 64 };
        check(&[region, size, (OFFSET_PARAMETER, Int64Param(-1))], Ok(Some(span)));
    }

    #[test]
    fn what_does_not_belong_together_is_refused_in_tritons_words() {
        use ParameterChoice::{BoolParam, Int64Param};
        let without = "can not be specified without 'shared_memory_region' parameter for tensor 'T'";
        check(&[(SIZE_PARAMETER, Int64Param(1))], Err(&format!("'shared_memory_byte_size' {without}")));
        check(&[(OFFSET_PARAMETER, Int64Param(1))], Err(&format!("'shared_memory_offset' {without}")));
        let region = (REGION_PARAMETER, text("R"));
        let along = "'shared_memory_byte_size' must be specified along with 'shared_memory_region' parameter for tensor \
                     'T'";
        check(std::slice::from_ref(&region), Err(along));
        let kind = |key: &str, expected: &str| {
            format!("invalid value type for '{key}' parameter for tensor 'T', expected {expected}.")
        };
        check(&[(REGION_PARAMETER, BoolParam(true))], Err(&kind("shared_memory_region", "string_param")));
        check(&[region.clone(), (SIZE_PARAMETER, text("1"))], Err(&kind("shared_memory_byte_size", "int64_param")));
        check(&[region, (OFFSET_PARAMETER, BoolParam(true))], Err(&kind("shared_memory_offset", "int64_param")));
    }
}
