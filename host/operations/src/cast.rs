//! From one number type to another.
//!
//! Cost: one pass, half a nanosecond per element or less; a second one where values that do not fit are refused.

use nereid_tensor::{DataType, Tensor};

use crate::{
    Budget, OperationError,
    number::{Carrier, Number, Width, not_numbers, with_number},
    output::Output,
};

const OPERATION: &str = "cast";

/// Elements converted at a time: their numbers on the way stay in the first-level cache.
const BLOCK_ELEMENTS: usize = 256;

/// What happens to values that the new type does not hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct CastRules {
    /// A value outside the range of the new type, or NaN for an integer, is an error that names the element. Otherwise
    /// it becomes the nearest value that fits, and NaN becomes 0.
    pub refuse_overflow: bool,
    /// Fractions go to the nearest integer, halves to the even one. Otherwise they are cut off, as NumPy's `astype` does.
    pub round_to_nearest: bool,
}

/// The same values as another type. Any number is true as a BOOL unless it is zero.
///
/// # Errors
/// One of the two types is BYTES, or a value does not fit and `rules` refuse that.
pub fn cast(tensor: &Tensor, to: DataType, rules: CastRules, budget: Budget) -> Result<Tensor, OperationError> {
    if tensor.data_type() == to && to != DataType::Bytes {
        return Ok(tensor.clone());
    }
    if rules.refuse_overflow {
        check_range(tensor, to)?;
    }
    let from = Kind::of(tensor.data_type()).ok_or_else(|| not_numbers(OPERATION, "the tensor"))?;
    let to_kind = Kind::of(to).ok_or_else(no_texts)?;
    let mut output = Output::new(OPERATION, to, tensor.shape().clone(), budget)?;
    let target = output.elements::<u8>();
    let round = rules.round_to_nearest && from.is_float && !to_kind.is_float;
    match (from.width, from.is_float || to_kind.is_float) {
        (Width::Single, true) => through(tensor, to, target, |block: &mut [f32]| {
            if round {
                block.iter_mut().for_each(|value| *value = value.round_ties_even());
            }
        }),
        (Width::Double, true) => through(tensor, to, target, |block: &mut [f64]| {
            if round {
                block.iter_mut().for_each(|value| *value = value.round_ties_even());
            }
        }),
        _ => through(tensor, to, target, |_: &mut [i128]| ()),
    }
    output.finish()
}

fn no_texts() -> OperationError {
    OperationError::argument(OPERATION, "numbers cannot become BYTES, expected a number type")
}

/// What decides the way that a conversion takes.
#[derive(Clone, Copy)]
struct Kind {
    width: Width,
    is_float: bool,
}

// === impl Kind ===

impl Kind {
    fn of(data_type: DataType) -> Option<Self> {
        with_number!(data_type, T => Some(Self { width: T::WIDTH, is_float: T::IS_FLOAT }), bytes => None)
    }
}

fn through<C: Carrier>(tensor: &Tensor, to: DataType, target: &mut [u8], change: impl Fn(&mut [C])) {
    let from = tensor.data_type();
    let block_bytes = |data_type: DataType| BLOCK_ELEMENTS * data_type.size_bytes().unwrap_or(1);
    let mut block = [C::zeroed(); BLOCK_ELEMENTS];
    let sources = tensor.buffer().as_slice().chunks(block_bytes(from));
    for (source, target) in sources.zip(target.chunks_mut(block_bytes(to))) {
        C::load(from, source, &mut block);
        change(&mut block);
        C::store(to, &block, target);
    }
}

/// Whether every value lies in the range of the new type.
fn check_range(tensor: &Tensor, to: DataType) -> Result<(), OperationError> {
    let (Some(range), Some(kind)) = (Range::of(to), Kind::of(tensor.data_type())) else { return Ok(()) };
    let misfit = if kind.is_float {
        find(tensor, |value: &f64| !range.holds_float(*value)).map(|(index, value)| (index, value.to_string()))
    } else {
        find(tensor, |value: &i128| !range.holds_integer(*value)).map(|(index, value)| (index, value.to_string()))
    };
    match misfit {
        None => Ok(()),
        Some((index, value)) => {
            let text = format!("element {index} is {value}, which {to} does not hold");
            Err(OperationError::argument(OPERATION, text))
        }
    }
}

/// The first element that is as described, and its number.
fn find<C: Carrier>(tensor: &Tensor, is_meant: impl Fn(&C) -> bool) -> Option<(usize, C)> {
    let data_type = tensor.data_type();
    let size = data_type.size_bytes().unwrap_or(1);
    let mut block = [C::zeroed(); BLOCK_ELEMENTS];
    for (number, source) in tensor.buffer().as_slice().chunks(BLOCK_ELEMENTS * size).enumerate() {
        C::load(data_type, source, &mut block);
        let found = block.iter().take(source.len() / size).position(&is_meant);
        if let Some(index) = found {
            return Some((number * BLOCK_ELEMENTS + index, *block.get(index)?));
        }
    }
    None
}

/// The values that a type holds.
#[derive(Clone, Copy)]
enum Range {
    Integers(i128, i128),
    /// The largest finite value; infinities and NaN fit too.
    Floats(f64),
}

// === impl Range ===

impl Range {
    /// `None` when every number fits.
    fn of(data_type: DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Uint8 => Self::Integers(0, u8::MAX.into()),
            DataType::Uint16 => Self::Integers(0, u16::MAX.into()),
            DataType::Uint32 => Self::Integers(0, u32::MAX.into()),
            DataType::Uint64 => Self::Integers(0, u64::MAX.into()),
            DataType::Int8 => Self::Integers(i8::MIN.into(), i8::MAX.into()),
            DataType::Int16 => Self::Integers(i16::MIN.into(), i16::MAX.into()),
            DataType::Int32 => Self::Integers(i32::MIN.into(), i32::MAX.into()),
            DataType::Int64 => Self::Integers(i64::MIN.into(), i64::MAX.into()),
            DataType::Fp16 => Self::Floats(half::f16::MAX.to_f64()),
            DataType::Bf16 => Self::Floats(half::bf16::MAX.to_f64()),
            DataType::Fp32 => Self::Floats(f32::MAX.into()),
            DataType::Bool | DataType::Fp64 | DataType::Bytes => return None,
        })
    }

    /// A float becomes an integer without its fraction.
    fn holds_float(self, value: f64) -> bool {
        match self {
            Self::Integers(least, most) => {
                let cut = value.trunc();
                // Two to the 64th is no UINT64, although the largest UINT64 becomes it as a float.
                cut >= least as f64 && cut <= most as f64 && (least..=most).contains(&(cut as i128))
            }
            Self::Floats(most) => !value.is_finite() || value.abs() <= most,
        }
    }

    fn holds_integer(self, value: i128) -> bool {
        match self {
            Self::Integers(least, most) => (least..=most).contains(&value),
            Self::Floats(most) => (value as f64).abs() <= most,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: fn() -> Budget = || Budget::new(1 << 20);

    fn cast_f32(values: &[f32], to: DataType, rules: CastRules) -> Result<Tensor, OperationError> {
        let tensor = Tensor::from_elements([values.len() as u64], values).unwrap();
        cast(&tensor, to, rules, BUDGET())
    }

    #[test]
    fn halves_go_to_the_even_integer_only_when_asked() {
        let values = [0.5, 1.5, 2.5, -1.5, -0.6];
        let nearest = CastRules { round_to_nearest: true, ..CastRules::default() };
        let rounded = cast_f32(&values, DataType::Int8, nearest).unwrap();
        assert_eq!(rounded.elements::<i8>().unwrap().as_ref(), [0, 2, 2, -2, -1]);
        let cut = cast_f32(&values, DataType::Int8, CastRules::default()).unwrap();
        assert_eq!(cut.elements::<i8>().unwrap().as_ref(), [0, 1, 2, -1, 0]);
    }

    #[test]
    fn an_overflow_is_refused_by_element_where_that_is_asked() {
        let strict = CastRules { refuse_overflow: true, ..CastRules::default() };
        let error = cast_f32(&[1.0, 256.0], DataType::Uint8, strict).unwrap_err();
        assert_eq!(error.to_string(), "cast: element 1 is 256, which UINT8 does not hold");
        assert!(cast_f32(&[f32::NAN], DataType::Int64, strict).is_err());
        assert!(cast_f32(&[1e9], DataType::Fp16, strict).is_err());
        assert!(cast_f32(&[f32::INFINITY, f32::NAN], DataType::Fp16, strict).is_ok());
        assert!(cast_f32(&[255.9, -0.9], DataType::Uint8, strict).is_ok());
    }

    #[test]
    fn integers_of_64_bits_stay_exact() {
        let values = [u64::MAX, 1 << 53 | 1, 7];
        let tensor = Tensor::from_elements([3], &values).unwrap();
        let signed = cast(&tensor, DataType::Int64, CastRules::default(), BUDGET()).unwrap();
        assert_eq!(signed.elements::<i64>().unwrap().as_ref(), [i64::MAX, (1 << 53) + 1, 7]);
    }

    #[test]
    fn texts_are_no_numbers() {
        let texts = Tensor::from_byte_strings([1], &["1"]).unwrap();
        for to in [DataType::Int8, DataType::Bytes] {
            let error = cast(&texts, to, CastRules::default(), BUDGET()).unwrap_err();
            assert_eq!(error.to_string(), "cast: the tensor is a tensor of BYTES, expected one of numbers");
        }
        assert!(cast_f32(&[1.0], DataType::Bytes, CastRules::default()).is_err());
    }
}
