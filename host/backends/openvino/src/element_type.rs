//! Element types under OpenVINO's numbers.

use nereid_tensor::DataType;

const NUMBERS: [(DataType, u32); 13] = [
    (DataType::Bool, 1),
    (DataType::Bf16, 2),
    (DataType::Fp16, 3),
    (DataType::Fp32, 4),
    (DataType::Fp64, 5),
    (DataType::Int8, 7),
    (DataType::Int16, 8),
    (DataType::Int32, 9),
    (DataType::Int64, 10),
    (DataType::Uint8, 16),
    (DataType::Uint16, 17),
    (DataType::Uint32, 18),
    (DataType::Uint64, 19),
];

/// What else a file may declare, in OpenVINO's words.
const OTHERS: [(u32, &str); 5] = [(0, "dynamic"), (6, "i4"), (11, "u1"), (14, "u4"), (23, "string")];

/// OpenVINO's number; `None` for strings, which this backend does not pass.
pub(crate) fn number(data_type: DataType) -> Option<u32> {
    NUMBERS.iter().find(|(known, _)| *known == data_type).map(|(_, number)| *number)
}

/// The protocol's type; `None` for what it lacks (numbers of four bits and the like), and for strings.
pub(crate) fn data_type(number: u32) -> Option<DataType> {
    NUMBERS.iter().find(|(_, known)| *known == number).map(|(data_type, _)| *data_type)
}

/// As shown in errors.
pub(crate) fn shown(number: u32) -> String {
    let other = || OTHERS.iter().find(|(known, _)| *known == number).map(|(_, name)| (*name).to_owned());
    let known = data_type(number).map(|data_type| data_type.name().to_owned());
    known.or_else(other).unwrap_or_else(|| format!("number {number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_but_bytes_has_a_partner() {
        for known in DataType::ALL {
            assert_eq!(number(known).and_then(data_type), (known != DataType::Bytes).then_some(known), "{known}");
        }
        assert_eq!((data_type(23), shown(23), shown(99)), (None, "string".to_owned(), "number 99".to_owned()));
    }
}
