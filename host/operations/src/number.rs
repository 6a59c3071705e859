//! The thirteen number types of the protocol, seen alike.
//!
//! Half-precision numbers are kept as their bits and converted by `half`, in hardware where there is some.

use std::borrow::Cow;

use bytemuck::{Pod, Zeroable};
use nereid_tensor::{DataType, Tensor};

use crate::{Budget, OperationError};

/// The bits of an FP16 number.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(transparent)]
pub(crate) struct Fp16(pub(crate) u16);

/// The bits of a BF16 number.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(transparent)]
pub(crate) struct Bf16(pub(crate) u16);

/// A BOOL: what is not zero is true.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(transparent)]
pub(crate) struct Truth(pub(crate) u8);

/// What a number keeps when it becomes another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    /// `f32` holds every value exactly.
    Single,
    /// `f64` does.
    Double,
    /// Integers of 64 bits, which no float holds exactly.
    Integer64,
}

/// A number of any type.
///
/// Conversions saturate: what does not fit becomes the nearest value that does, NaN becomes 0 for integers. Fractions are
/// cut off for integers; floats round to the nearest, ties to even.
pub(crate) trait Number: Pod {
    const WIDTH: Width;
    const IS_FLOAT: bool;

    fn to_f32(self) -> f32;
    fn to_f64(self) -> f64;
    fn to_i128(self) -> i128;
    fn from_f32(value: f32) -> Self;
    fn from_f64(value: f64) -> Self;
    fn from_i128(value: i128) -> Self;

    /// A number that sorts as this one does; NaN's is the largest, as NumPy's and PyTorch's rankings have it.
    fn key(self) -> u64;
}

macro_rules! integers {
    ($($name:ident $width:ident $least:expr),*) => { $(
        impl Number for $name {
            const WIDTH: Width = Width::$width;
            const IS_FLOAT: bool = false;

            fn to_f32(self) -> f32 { self as f32 }
            fn to_f64(self) -> f64 { self as f64 }
            fn to_i128(self) -> i128 { self.into() }
            fn from_f32(value: f32) -> Self { value as Self }
            fn from_f64(value: f64) -> Self { value as Self }
            fn from_i128(value: i128) -> Self {
                Self::try_from(value).unwrap_or(if value < 0 { Self::MIN } else { Self::MAX })
            }
            // Moved up by what makes the least one zero.
            fn key(self) -> u64 { (self as u64).wrapping_add($least) }
        }
    )* };
}

integers!(
    u8 Single 0, u16 Single 0, u32 Double 0, u64 Integer64 0,
    i8 Single 1 << 63, i16 Single 1 << 63, i32 Double 1 << 63, i64 Integer64 1 << 63
);

macro_rules! floats {
    ($($name:ident $width:ident),*) => { $(
        impl Number for $name {
            const WIDTH: Width = Width::$width;
            const IS_FLOAT: bool = true;

            fn to_f32(self) -> f32 { self as f32 }
            fn to_f64(self) -> f64 { self.into() }
            fn to_i128(self) -> i128 { self as i128 }
            fn from_f32(value: f32) -> Self { value.into() }
            fn from_f64(value: f64) -> Self { value as Self }
            fn from_i128(value: i128) -> Self { value as Self }
            fn key(self) -> u64 { float_key(self.into()) }
        }
    )* };
}

floats!(f32 Single, f64 Double);

macro_rules! halves {
    ($($name:ident $half:ident),*) => { $(
        impl Number for $name {
            const WIDTH: Width = Width::Single;
            const IS_FLOAT: bool = true;

            fn to_f32(self) -> f32 { half::$half::from_bits(self.0).to_f32() }
            fn to_f64(self) -> f64 { self.to_f32().into() }
            fn to_i128(self) -> i128 { self.to_f32() as i128 }
            fn from_f32(value: f32) -> Self { Self(half::$half::from_f32(value).to_bits()) }
            fn from_f64(value: f64) -> Self { Self(half::$half::from_f64(value).to_bits()) }
            fn from_i128(value: i128) -> Self { Self::from_f64(value as f64) }
            fn key(self) -> u64 { float_key(self.to_f64()) }
        }
    )* };
}

halves!(Fp16 f16, Bf16 bf16);

impl Number for Truth {
    const WIDTH: Width = Width::Single;
    const IS_FLOAT: bool = false;

    fn to_f32(self) -> f32 {
        u8::from(self.0 != 0).into()
    }

    fn to_f64(self) -> f64 {
        u8::from(self.0 != 0).into()
    }

    fn to_i128(self) -> i128 {
        u8::from(self.0 != 0).into()
    }

    fn from_f32(value: f32) -> Self {
        Self((value != 0.0).into())
    }

    fn from_f64(value: f64) -> Self {
        Self((value != 0.0).into())
    }

    fn from_i128(value: i128) -> Self {
        Self((value != 0).into())
    }

    fn key(self) -> u64 {
        u8::from(self.0 != 0).into()
    }
}

fn float_key(value: f64) -> u64 {
    const SIGN: u64 = 1 << 63;
    if value.is_nan() {
        return u64::MAX;
    }
    // Both zeroes are one number.
    let bits = (value + 0.0).to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

/// Runs `$body` with `$number` standing for the Rust type of `$data_type`, or `$strings` for BYTES.
macro_rules! with_number {
    ($data_type:expr, $number:ident => $body:expr, bytes => $strings:expr) => {{
        use nereid_tensor::DataType as Kind;
        macro_rules! run {
            ($rust:ty) => {{
                type $number = $rust;
                $body
            }};
        }
        match $data_type {
            Kind::Bool => run!($crate::number::Truth),
            Kind::Uint8 => run!(u8),
            Kind::Uint16 => run!(u16),
            Kind::Uint32 => run!(u32),
            Kind::Uint64 => run!(u64),
            Kind::Int8 => run!(i8),
            Kind::Int16 => run!(i16),
            Kind::Int32 => run!(i32),
            Kind::Int64 => run!(i64),
            Kind::Fp16 => run!($crate::number::Fp16),
            Kind::Bf16 => run!($crate::number::Bf16),
            Kind::Fp32 => run!(f32),
            Kind::Fp64 => run!(f64),
            Kind::Bytes => $strings,
        }
    }};
}

pub(crate) use with_number;

/// The elements as numbers of their size, borrowed where the memory is aligned for them.
///
/// Memory that another process may write to is copied: what is walked twice must not change in between.
pub(crate) fn numbers<T: Pod>(tensor: &Tensor) -> Cow<'_, [T]> {
    let bytes = tensor.buffer().as_slice();
    match bytemuck::try_cast_slice(bytes) {
        Ok(aligned) if !tensor.buffer().is_external() => Cow::Borrowed(aligned),
        _ => Cow::Owned(bytemuck::allocation::pod_collect_to_vec(bytes)),
    }
}

/// Numbers of a type that others are converted to and from.
///
/// Every conversion goes through one of three such types, block by block: thirteen loops in and thirteen out for each, where a
/// loop for every pair of types would take the compiler minutes.
pub(crate) trait Carrier: Pod {
    /// Reads elements of `data_type` from their bytes; BYTES leave `to` as it is.
    fn load(data_type: DataType, bytes: &[u8], to: &mut [Self]);

    /// Writes elements of `data_type` into aligned memory.
    fn store(data_type: DataType, from: &[Self], bytes: &mut [u8]);
}

macro_rules! carriers {
    ($($name:ident $to:ident $from:ident),*) => { $(
        impl Carrier for $name {
            fn load(data_type: DataType, bytes: &[u8], to: &mut [Self]) {
                with_number!(data_type, T => each::<T, Self>(bytes, to, T::$to), bytes => ());
            }

            fn store(data_type: DataType, from: &[Self], bytes: &mut [u8]) {
                with_number!(data_type, T => {
                    let to: &mut [T] = bytemuck::try_cast_slice_mut(bytes).unwrap_or_default();
                    to.iter_mut().zip(from).for_each(|(to, from)| *to = T::$from(*from));
                }, bytes => ());
            }
        }
    )* };
}

carriers!(f32 to_f32 from_f32, f64 to_f64 from_f64, i128 to_i128 from_i128);

/// Numbers by which elements can be sorted: those of equal elements are equal, and NaN's are the largest.
pub(crate) fn load_keys(data_type: DataType, bytes: &[u8], to: &mut [u64]) {
    with_number!(data_type, T => each::<T, u64>(bytes, to, T::key), bytes => ());
}

fn each<T: Pod, U>(bytes: &[u8], to: &mut [U], convert: impl Fn(T) -> U) {
    match bytemuck::try_cast_slice::<u8, T>(bytes) {
        Ok(aligned) => to.iter_mut().zip(aligned).for_each(|(to, from)| *to = convert(*from)),
        Err(_) => {
            let chunks = bytes.chunks_exact(size_of::<T>().max(1));
            to.iter_mut().zip(chunks).for_each(|(to, from)| *to = convert(bytemuck::pod_read_unaligned(from)));
        }
    }
}

/// The elements of any number type as FP32; borrowed where they are.
pub(crate) fn as_f32<'a>(
    operation: &'static str,
    argument: &str,
    tensor: &'a Tensor,
    budget: Budget,
) -> Result<Cow<'a, [f32]>, OperationError> {
    match tensor.data_type() {
        DataType::Fp32 => Ok(numbers(tensor)),
        DataType::Bytes => Err(not_numbers(operation, argument)),
        data_type => {
            let length = budget.check(operation, tensor.element_count().checked_mul(4))?;
            let mut converted = vec![0.0; length / 4];
            f32::load(data_type, tensor.buffer().as_slice(), &mut converted);
            Ok(Cow::Owned(converted))
        }
    }
}

pub(crate) fn not_numbers(operation: &'static str, argument: &str) -> OperationError {
    OperationError::argument(operation, format_args!("{argument} is a tensor of BYTES, expected one of numbers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_becomes_the_nearest_that_does() {
        assert_eq!(
            [u8::from_f32(-1.0), u8::from_f32(300.0), u8::from_f32(f32::NAN), u8::from_f32(1.9)],
            [0, 255, 0, 1]
        );
        assert_eq!((i8::from_i128(-200), u64::from_i128(-1), i64::from_i128(1 << 70)), (-128, 0, i64::MAX));
        assert!(Fp16::from_f32(1e6).to_f32().is_infinite());
        assert_eq!(Truth::from_f32(f32::NAN).0, 1);
    }

    #[test]
    fn keys_sort_as_their_numbers_with_nan_above() {
        let floats = [f64::NEG_INFINITY, -2.0, -0.5, 0.0, 1e-300, 3.0, f64::INFINITY, f64::NAN];
        assert!(floats.map(Number::key).is_sorted_by(|left, right| left < right));
        assert_eq!((-0.0_f32).key(), 0.0_f32.key());
        assert_eq!(f32::NAN.key(), (-f32::NAN).key());
        assert!([i64::MIN, -1, 0, i64::MAX].map(Number::key).is_sorted_by(|left, right| left < right));
        assert!([i8::MIN, -1, 0, i8::MAX].map(Number::key).is_sorted_by(|left, right| left < right));
        assert!([0, 1, u64::MAX].map(Number::key).is_sorted_by(|left, right| left < right));
        assert!(Bf16::from_f32(1.0).key() < Bf16::from_f32(f32::NAN).key());
    }

    #[test]
    fn elements_that_are_not_aligned_are_read() {
        let bytes: Vec<u8> =
            [0].into_iter().chain([1.5_f32, -2.0].iter().flat_map(|value| value.to_le_bytes())).collect();
        let mut found = [0.0_f64; 2];
        f64::load(DataType::Fp32, &bytes[1..], &mut found);
        assert_eq!(found, [1.5, -2.0]);
    }
}
