//! JSON scalars into the elements of a tensor: what each type takes, and what it says to anything else.
//!
//! Strict as Triton is: a fraction is no integer, an integer is a float, booleans are booleans. Stricter than Triton in
//! one point: an integer that its type cannot hold is refused, where Triton silently keeps the low bits.

use bytemuck::Pod;
use nereid_inference::InferError;
use nereid_tensor::DataType;

use super::scalar::unparsable;

/// A fixed-size element that JSON can express.
pub(crate) trait Number: Pod {
    /// Type on the wire, for error texts.
    const DATA_TYPE: DataType;
    /// What Triton's reader says to a value of another type.
    const WRONG_TYPE: &str;

    fn from_bool(_: bool) -> Result<Self, InferError> {
        Err(unparsable("data", Self::WRONG_TYPE))
    }

    fn from_uint(_: u64) -> Result<Self, InferError> {
        Err(unparsable("data", Self::WRONG_TYPE))
    }

    fn from_int(_: i64) -> Result<Self, InferError> {
        Err(unparsable("data", Self::WRONG_TYPE))
    }

    fn from_double(_: f64) -> Result<Self, InferError> {
        Err(unparsable("data", Self::WRONG_TYPE))
    }
}

/// The byte of a BOOL tensor; a type of its own because `u8` is UINT8.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub(crate) struct BoolByte(u8);

fn out_of_range(value: impl std::fmt::Display, data_type: DataType) -> InferError {
    InferError::invalid_argument(format!("Unable to parse 'data': value {value} does not fit {data_type}"))
}

impl Number for BoolByte {
    const DATA_TYPE: DataType = DataType::Bool;
    const WRONG_TYPE: &str = "attempt to access JSON non-boolean as boolean";

    fn from_bool(value: bool) -> Result<Self, InferError> {
        Ok(Self(u8::from(value)))
    }
}

macro_rules! unsigned {
    ($($rust:ty => $variant:ident),*) => {
        $(impl Number for $rust {
            const DATA_TYPE: DataType = DataType::$variant;
            const WRONG_TYPE: &str = "attempt to access JSON non-unsigned-integer as unsigned-integer";

            fn from_uint(value: u64) -> Result<Self, InferError> {
                Self::try_from(value).map_err(|_| out_of_range(value, Self::DATA_TYPE))
            }
        })*
    };
}

macro_rules! signed {
    ($($rust:ty => $variant:ident),*) => {
        $(impl Number for $rust {
            const DATA_TYPE: DataType = DataType::$variant;
            const WRONG_TYPE: &str = "attempt to access JSON non-signed-integer as signed-integer";

            fn from_uint(value: u64) -> Result<Self, InferError> {
                Self::try_from(value).map_err(|_| out_of_range(value, Self::DATA_TYPE))
            }

            fn from_int(value: i64) -> Result<Self, InferError> {
                Self::try_from(value).map_err(|_| out_of_range(value, Self::DATA_TYPE))
            }
        })*
    };
}

macro_rules! floats {
    ($($rust:ty => $variant:ident),*) => {
        $(impl Number for $rust {
            const DATA_TYPE: DataType = DataType::$variant;
            const WRONG_TYPE: &str = "attempt to access JSON non-number as double";

            fn from_uint(value: u64) -> Result<Self, InferError> {
                Ok(value as $rust)
            }

            fn from_int(value: i64) -> Result<Self, InferError> {
                Ok(value as $rust)
            }

            fn from_double(value: f64) -> Result<Self, InferError> {
                Ok(value as $rust)
            }
        })*
    };
}

unsigned! { u8 => Uint8, u16 => Uint16, u32 => Uint32, u64 => Uint64 }
signed! { i8 => Int8, i16 => Int16, i32 => Int32, i64 => Int64 }
floats! { f32 => Fp32, f64 => Fp64 }
