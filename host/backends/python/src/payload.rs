//! Tensors between a payload and the host's memory.
//!
//! Going out they are gathered, each at a multiple of 64. Coming in, a tensor is a view of the payload, which was copied into
//! memory of the host's own: nothing that the runner does later changes it. Names, types, shapes and places are checked here.

use nereid_inference::NamedTensor;
use nereid_tensor::{ALIGNMENT_BYTES, Buffer, DataType, Shape, Tensor};

/// A tensor in a header: name, type, shape, offset and length in the payload.
pub(crate) type TensorRow = (String, String, Vec<i64>, u64, u64);

/// A tensor as it is written into a header.
pub(crate) type TensorRowOut<'a> = (&'a str, &'static str, Vec<i64>, usize, usize);

/// Bytes on their way to a runner.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    pieces: Vec<Buffer>,
    offsets: Vec<usize>,
    length: usize,
}

// === impl Outgoing ===

impl Outgoing {
    /// Takes a tensor along; says how the header is to name it.
    pub(crate) fn add<'a>(&mut self, name: &'a str, tensor: &Tensor) -> TensorRowOut<'a> {
        let (offset, length) = self.add_bytes(tensor.buffer().clone());
        (name, tensor.data_type().name(), tensor.shape().to_signed(), offset, length)
    }

    fn add_bytes(&mut self, bytes: Buffer) -> (usize, usize) {
        let (offset, length) = (self.length.next_multiple_of(ALIGNMENT_BYTES), bytes.len());
        self.length = offset + length;
        self.pieces.push(bytes);
        self.offsets.push(offset);
        (offset, length)
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// What is to be written, and where.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.offsets.iter().copied().zip(self.pieces.iter().map(Buffer::as_slice))
    }

    /// Writes everything behind what `into` holds.
    pub(crate) fn append_to(&self, into: &mut Vec<u8>) {
        let start = into.len();
        for (offset, bytes) in self.pieces() {
            into.resize(start + offset, 0);
            into.extend_from_slice(bytes);
        }
    }
}

/// The tensors that a header names.
///
/// # Errors
/// The name of the tensor, and what is wrong with it.
pub(crate) fn tensors(rows: Vec<TensorRow>, payload: &Buffer) -> Result<Vec<NamedTensor>, String> {
    rows.into_iter().map(|row| tensor(row, payload)).collect()
}

fn tensor((name, data_type, dims, offset, length): TensorRow, payload: &Buffer) -> Result<NamedTensor, String> {
    let data_type: DataType = data_type.parse().map_err(|error| format!("tensor '{name}': {error}"))?;
    let shape = Shape::from_signed(&dims).map_err(|error| format!("tensor '{name}': {error}"))?;
    let bytes = slice(payload, offset, length).ok_or_else(|| {
        format!("tensor '{name}' lies at {offset} and has {length} bytes, in a payload of {}", payload.len())
    })?;
    let tensor = Tensor::new(data_type, shape, bytes).map_err(|error| format!("tensor '{name}': {error}"))?;
    Ok(NamedTensor::new(name, tensor))
}

/// A part of the payload, where there is such a part.
pub(crate) fn slice(payload: &Buffer, offset: u64, length: u64) -> Option<Buffer> {
    let end = usize::try_from(offset.checked_add(length)?).ok()?;
    if end > payload.len() {
        return None;
    }
    payload.slice(usize::try_from(offset).ok()?..end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(row: TensorRow, payload: usize) -> Result<Tensor, String> {
        Ok(tensors(vec![row], &vec![0; payload].into())?.remove(0).tensor)
    }

    fn row(data_type: &str, dims: &[i64], offset: u64, length: u64) -> TensorRow {
        ("Y".into(), data_type.into(), dims.to_vec(), offset, length)
    }

    #[test]
    fn what_is_written_lies_where_the_header_says() {
        let mut outgoing = Outgoing::default();
        let first = Tensor::from_elements([3], &[1_i32, 2, 3]).unwrap();
        let second = Tensor::from_byte_strings([1], &["abc"]).unwrap();
        let rows = [outgoing.add("X", &first), outgoing.add("Y", &second)];
        let mut written = vec![9; 5];
        outgoing.append_to(&mut written);
        assert_eq!(written.len(), 5 + outgoing.len());
        let payload = Buffer::from(written[5..].to_vec());
        let rows = rows.map(|(name, data_type, dims, offset, length)| {
            (name.to_owned(), data_type.to_owned(), dims, offset as u64, length as u64)
        });
        let read = tensors(rows.to_vec(), &payload).unwrap();
        assert_eq!(read[0].tensor.elements::<i32>().unwrap().as_ref(), &[1, 2, 3]);
        assert_eq!(read[1].tensor.byte_strings().collect::<Vec<_>>(), [b"abc"]);
    }

    #[test]
    fn a_lie_about_a_tensor_is_told_by_name() {
        let refused = |row, expected: &str| {
            let error = read(row, 64).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        };
        refused(row("FP32", &[2], 60, 8), "tensor 'Y' lies at 60 and has 8 bytes, in a payload of 64");
        refused(row("FP32", &[2], u64::MAX, 8), "tensor 'Y' lies at");
        refused(row("FP32", &[3], 0, 8), "tensor 'Y': expected 12 bytes for shape [3] of FP32, got 8");
        refused(row("FP32", &[-1], 0, 8), "tensor 'Y': shape [-1] contains");
        refused(row("FP31", &[2], 0, 8), "tensor 'Y': unknown data type 'FP31'");
        refused(row("BYTES", &[3], 0, 8), "tensor 'Y': expected 3 string elements");
    }

    proptest! {
        #[test]
        fn no_row_reads_beyond_its_payload(
            dims in proptest::collection::vec(-2_i64..1 << 40, 0..4), offset: u64, length: u64, payload in 0_usize..300,
            small in any::<bool>(),
        ) {
            let (offset, length) = if small { (offset % 300, length % 300) } else { (offset, length) };
            if let Ok(tensor) = read(row("UINT8", &dims, offset, length), payload) {
                prop_assert!(tensor.byte_size() <= payload);
            }
        }
    }
}
