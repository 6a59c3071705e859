//! The bytes of a warm-up tensor: zeros, random elements, or a file below `warmup/`.

use std::path::Path;

use nereid_inference::config::{WarmupData, WarmupInput};
use nereid_tensor::{Buffer, BufferMut, DataType, Shape, Tensor, encode_bytes_elements};

use crate::model_file;

/// Where data files lie, below the model's directory.
const WARMUP_DIRECTORY: &str = "warmup";

/// Bytes of one warm-up tensor; a larger one is a mistake in a digit.
const WARMUP_TENSOR_BYTES_MAX: u64 = 1 << 30;

/// Bytes of each element of a random `BYTES` tensor.
const RANDOM_STRING_BYTES: usize = 8;

/// The same numbers at every load: a warm-up that fails must fail again when somebody looks.
const RANDOM_SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// The tensor, with a leading batch dimension of one row when the model `has_batching`; or what is wrong with it, to
/// stand behind the input's name.
pub(super) fn tensor(input: &WarmupInput, model_directory: &Path, has_batching: bool) -> Result<Tensor, String> {
    let data_type = input.data_type.known().ok_or("must specify 'data_type'")?;
    let dims = input.dims.iter().map(|dim| {
        u64::try_from(*dim).map_err(|_| format!("has a dimension of {dim}, expected the extents of one request"))
    });
    let dims: Vec<u64> = has_batching.then_some(Ok(1)).into_iter().chain(dims).collect::<Result<_, _>>()?;
    let shape = Shape::from(dims.as_slice());
    let elements = element_count(&shape, data_type)?;
    let buffer = match &input.data {
        Some(WarmupData::Zero(_)) => zeros(data_type, elements).freeze(),
        Some(WarmupData::Random(_)) => random(data_type, elements),
        Some(WarmupData::File(filename)) => {
            let path = Path::new(WARMUP_DIRECTORY).join(filename);
            let bytes = model_file::read(model_directory, &path, WARMUP_TENSOR_BYTES_MAX);
            bytes.map_err(|problem| format!("has the file '{}', which {problem}", path.display()))?.into()
        }
        None => return Err("must specify one of 'zero_data', 'random_data' and 'input_data_file'".to_owned()),
    };
    Tensor::new(data_type, shape, buffer).map_err(|error| format!("does not hold what it declares: {error}"))
}

/// How many elements there are, once it is known that they fit into memory.
fn element_count(shape: &Shape, data_type: DataType) -> Result<usize, String> {
    let element_bytes = data_type.size_bytes().unwrap_or(size_of::<u32>() + RANDOM_STRING_BYTES) as u64;
    let bytes = shape.checked_element_count().and_then(|elements| elements.checked_mul(element_bytes));
    match bytes.filter(|bytes| *bytes <= WARMUP_TENSOR_BYTES_MAX) {
        Some(bytes) => Ok(usize::try_from(bytes / element_bytes).unwrap_or(0)),
        None => Err(format!("has the shape {shape}, which needs more than {WARMUP_TENSOR_BYTES_MAX} bytes")),
    }
}

/// Zeros, or empty strings.
fn zeros(data_type: DataType, elements: usize) -> BufferMut {
    BufferMut::zeroed(elements * data_type.size_bytes().unwrap_or(size_of::<u32>()))
}

/// Integers from the whole range of their type, floating point numbers from 1 to 2, strings of eight letters.
fn random(data_type: DataType, elements: usize) -> Buffer {
    let mut state = RANDOM_SEED;
    if data_type == DataType::Bytes {
        let strings: Vec<[u8; RANDOM_STRING_BYTES]> = (0..elements).map(|_| letters(next(&mut state))).collect();
        return encode_bytes_elements(&strings).into();
    }
    let mut buffer = zeros(data_type, elements);
    for element in buffer.as_mut_slice().chunks_mut(data_type.size_bytes().unwrap_or(1)) {
        let bits = bits(data_type, next(&mut state)).to_le_bytes();
        for (byte, random) in element.iter_mut().zip(bits) {
            *byte = random;
        }
    }
    buffer.freeze()
}

/// The low bits are the element. Floating point numbers keep a fixed exponent: random ones would be infinite or absurd.
fn bits(data_type: DataType, random: u64) -> u64 {
    match data_type {
        DataType::Bool => random & 1,
        DataType::Fp16 => random & 0x03ff | 0x3c00,
        DataType::Bf16 => random & 0x007f | 0x3f80,
        DataType::Fp32 => random & 0x007f_ffff | 0x3f80_0000,
        DataType::Fp64 => random & 0x000f_ffff_ffff_ffff | 0x3ff0_0000_0000_0000,
        _ => random,
    }
}

fn letters(random: u64) -> [u8; RANDOM_STRING_BYTES] {
    random.to_le_bytes().map(|byte| b'a' + byte % 26)
}

/// SplitMix64, by Steele, Lea and Flood.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
