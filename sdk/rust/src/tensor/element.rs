//! The number types that tensors hold, and their bytes.

use crate::DataType;

/// A type of number that fills a tensor. Half-precision numbers have no type in Rust: read them with
/// [`Tensor::bytes`](crate::Tensor::bytes).
pub trait Element: Copy + sealed::Sealed {
    /// The tensor type of such elements.
    const DATA_TYPE: DataType;

    /// Reads one from its little-endian bytes, of which there are `size_of::<Self>()`.
    fn from_le(bytes: &[u8]) -> Self;

    /// Appends its little-endian bytes.
    fn append_to(self, bytes: &mut Vec<u8>);
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! elements {
    ($($number:ty => $data_type:ident,)*) => {
        $(
            impl sealed::Sealed for $number {}

            impl Element for $number {
                const DATA_TYPE: DataType = DataType::$data_type;

                fn from_le(bytes: &[u8]) -> Self {
                    bytes.first_chunk().map_or_else(Self::default, |bytes| Self::from_le_bytes(*bytes))
                }

                fn append_to(self, bytes: &mut Vec<u8>) {
                    bytes.extend_from_slice(&self.to_le_bytes());
                }
            }
        )*
    };
}

elements! {
    u8 => Uint8,
    u16 => Uint16,
    u32 => Uint32,
    u64 => Uint64,
    i8 => Int8,
    i16 => Int16,
    i32 => Int32,
    i64 => Int64,
    f32 => Fp32,
    f64 => Fp64,
}

impl sealed::Sealed for bool {}

impl Element for bool {
    const DATA_TYPE: DataType = DataType::Boolean;

    fn from_le(bytes: &[u8]) -> Self {
        bytes.first().is_some_and(|byte| *byte != 0)
    }

    fn append_to(self, bytes: &mut Vec<u8>) {
        bytes.push(u8::from(self));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Element + PartialEq + std::fmt::Debug>(elements: &[T], expected: &[u8]) {
        let mut bytes = Vec::new();
        elements.iter().for_each(|element| element.append_to(&mut bytes));
        assert_eq!(bytes, expected);
        let back: Vec<T> = bytes.chunks_exact(size_of::<T>()).map(T::from_le).collect();
        assert_eq!(back, elements);
    }

    #[test]
    fn elements_are_little_endian_and_read_back() {
        check(&[1_u16, 0x0203], &[1, 0, 3, 2]);
        check(&[-2_i32], &[0xfe, 0xff, 0xff, 0xff]);
        check(&[1.0_f32, -0.0], &[0, 0, 0x80, 0x3f, 0, 0, 0, 0x80]);
        check(&[true, false], &[1, 0]);
    }
}
