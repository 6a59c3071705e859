//! Element types under the shim's numbers (`shim/nereid_torch.h`).

use nereid_tensor::DataType;

const NUMBERS: [(DataType, u32); 13] = [
    (DataType::Bool, 0),
    (DataType::Uint8, 1),
    (DataType::Uint16, 2),
    (DataType::Uint32, 3),
    (DataType::Uint64, 4),
    (DataType::Int8, 5),
    (DataType::Int16, 6),
    (DataType::Int32, 7),
    (DataType::Int64, 8),
    (DataType::Fp16, 9),
    (DataType::Fp32, 10),
    (DataType::Fp64, 11),
    (DataType::Bf16, 12),
];

/// The shim's number; `None` for `BYTES`, of which there are no tensors in LibTorch.
pub(crate) fn number(data_type: DataType) -> Option<u32> {
    NUMBERS.iter().find(|(known, _)| *known == data_type).map(|(_, number)| *number)
}

/// The type of a number; `None` for what the protocol lacks: complex and quantized numbers.
pub(crate) fn data_type(number: u32) -> Option<DataType> {
    NUMBERS.iter().find(|(_, known)| *known == number).map(|(data_type, _)| *data_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_but_bytes_has_a_partner() {
        for known in DataType::ALL {
            assert_eq!(number(known).and_then(data_type), (known != DataType::Bytes).then_some(known), "{known}");
        }
        assert_eq!(data_type(13), None);
    }
}
