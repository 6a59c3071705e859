//! Typed tensor contents: elements in the one repeated field that the data type calls for.
//!
//! Costs one copy, because protobuf widens small integers and packs strings in its own way.

use bytemuck::Pod;
use nereid_inference::InferError;
use nereid_tensor::{Buffer, BufferMut, DataType, encode_bytes_elements};

use super::{inputs::InputName, proto::InferTensorContents};

/// The elements of one tensor in the protocol's own encoding.
///
/// Empty contents are no bytes, which is right for a tensor without elements.
pub(super) fn decode_contents(
    input: &InputName<'_>,
    data_type: DataType,
    contents: &InferTensorContents,
) -> Result<Buffer, InferError> {
    check_fields(input, data_type, contents)?;
    Ok(match data_type {
        DataType::Bool => contents.bool_contents.iter().copied().map(u8::from).collect::<Vec<u8>>().into(),
        DataType::Int8 => narrow::<_, i8>(input, data_type, &contents.int_contents)?,
        DataType::Int16 => narrow::<_, i16>(input, data_type, &contents.int_contents)?,
        DataType::Int32 => copy(&contents.int_contents),
        DataType::Int64 => copy(&contents.int64_contents),
        DataType::Uint8 => narrow::<_, u8>(input, data_type, &contents.uint_contents)?,
        DataType::Uint16 => narrow::<_, u16>(input, data_type, &contents.uint_contents)?,
        DataType::Uint32 => copy(&contents.uint_contents),
        DataType::Uint64 => copy(&contents.uint64_contents),
        DataType::Fp32 => copy(&contents.fp32_contents),
        DataType::Fp64 => copy(&contents.fp64_contents),
        DataType::Bytes => encode_bytes_elements(&contents.bytes_contents).into(),
        // No field holds them: contents that were not refused above are empty.
        DataType::Fp16 | DataType::Bf16 => Buffer::default(),
    })
}

/// At most one field may be filled, and it must be the data type's own.
fn check_fields(input: &InputName<'_>, data_type: DataType, contents: &InferTensorContents) -> Result<(), InferError> {
    let int_field = match data_type {
        DataType::Int8 | DataType::Int16 => data_type,
        _ => DataType::Int32,
    };
    let uint_field = match data_type {
        DataType::Uint8 | DataType::Uint16 => data_type,
        _ => DataType::Uint32,
    };
    let fields = [
        (DataType::Bool, contents.bool_contents.len()),
        (int_field, contents.int_contents.len()),
        (DataType::Int64, contents.int64_contents.len()),
        (uint_field, contents.uint_contents.len()),
        (DataType::Uint64, contents.uint64_contents.len()),
        (DataType::Fp32, contents.fp32_contents.len()),
        (DataType::Fp64, contents.fp64_contents.len()),
        (DataType::Bytes, contents.bytes_contents.len()),
    ];
    let mut filled = fields.into_iter().filter(|(_, elements)| *elements > 0).map(|(field, _)| field);
    let first = filled.next();
    if let Some(field) = first.filter(|field| *field != data_type) {
        return Err(InferError::invalid_argument(format!(
            "unexpected explicit tensor data for input tensor {input} of type '{field}', expected datatype \
             '{data_type}'"
        )));
    }
    match filled.next() {
        Some(_) => Err(InferError::invalid_argument(format!(
            "unexpected explicit tensor data for input tensor {input}, binary data was already supplied."
        ))),
        None => Ok(()),
    }
}

/// Elements whose field has their own width.
fn copy<T: Pod>(elements: &[T]) -> Buffer {
    BufferMut::copy_of(bytemuck::cast_slice(elements)).freeze()
}

/// Elements whose field is wider than they are.
fn narrow<Wide, Narrow>(input: &InputName<'_>, data_type: DataType, elements: &[Wide]) -> Result<Buffer, InferError>
where
    Wide: Copy + std::fmt::Display,
    Narrow: Pod + TryFrom<Wide>,
{
    let mut narrowed = Vec::with_capacity(elements.len());
    for (index, element) in elements.iter().enumerate() {
        narrowed.push(Narrow::try_from(*element).map_err(|_| {
            InferError::invalid_argument(format!(
                "value {element} at index {index} of the contents of input tensor {input} does not fit datatype \
                 '{data_type}'"
            ))
        })?);
    }
    Ok(copy::<Narrow>(&narrowed))
}
