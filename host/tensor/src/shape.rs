//! The extent of a tensor in each dimension, outermost first.
//!
//! A `Shape` is concrete: every dimension is zero or more. A `-1` of a configuration is a matter of the signature
//! (`nereid-inference`), never of a tensor. Up to six dimensions cost no allocation.

use std::{fmt, ops::Deref};

use smallvec::SmallVec;
use thiserror::Error;

use crate::DataType;

/// Dimensions kept inline; image batches have four and attention scores five.
const INLINE_DIMENSIONS: usize = 6;

/// Dimensions of a tensor, outermost first; empty for a scalar.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Shape(SmallVec<[u64; INLINE_DIMENSIONS]>);

/// The product of the dimensions does not fit, or one of them is negative.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ShapeOverflow {
    #[error("shape {0} causes total element count to exceed maximum size of {max}", max = i64::MAX)]
    Elements(String),
    #[error("shape {0} contains one or more invalid dimensions")]
    Negative(String),
}

// === impl Shape ===

impl Shape {
    /// A shape from dimensions that are known to be non-negative.
    pub fn new(dimensions: &[u64]) -> Self {
        Self(SmallVec::from_slice(dimensions))
    }

    /// A shape from the signed integers that every wire format uses.
    ///
    /// # Errors
    /// A negative dimension, or a product beyond `i64::MAX` elements.
    pub fn from_signed(dimensions: &[i64]) -> Result<Self, ShapeOverflow> {
        let unsigned: Option<SmallVec<_>> = dimensions.iter().map(|dimension| u64::try_from(*dimension).ok()).collect();
        let shape = Self(unsigned.ok_or_else(|| ShapeOverflow::Negative(format_dimensions(dimensions)))?);
        match shape.checked_element_count() {
            Some(_) => Ok(shape),
            None => Err(ShapeOverflow::Elements(format_dimensions(dimensions))),
        }
    }

    /// The product of all dimensions, `None` beyond `i64::MAX`. A scalar has one element.
    ///
    /// A zero anywhere makes the count zero, however large its neighbours are.
    pub fn checked_element_count(&self) -> Option<u64> {
        if self.0.contains(&0) {
            return Some(0);
        }
        let product = self.0.iter().try_fold(1_u64, |product, dimension| product.checked_mul(*dimension))?;
        i64::try_from(product).is_ok().then_some(product)
    }

    /// Bytes that a tensor of this shape occupies; `None` when that overflows or the type has no fixed size.
    pub fn byte_size(&self, data_type: DataType) -> Option<usize> {
        let elements = usize::try_from(self.checked_element_count()?).ok()?;
        elements.checked_mul(data_type.size_bytes()?)
    }

    /// The same dimensions with the outermost one replaced.
    pub fn with_outermost(&self, outermost: u64) -> Self {
        let mut dimensions = self.0.clone();
        if let Some(first) = dimensions.first_mut() {
            *first = outermost;
        }
        Self(dimensions)
    }

    /// The dimensions inside the outermost one; empty for scalars and vectors.
    pub fn inner(&self) -> &[u64] {
        self.0.get(1..).unwrap_or_default()
    }

    /// The dimensions as the signed integers of the wire formats.
    pub fn to_signed(&self) -> Vec<i64> {
        self.0.iter().map(|dimension| i64::try_from(*dimension).unwrap_or(i64::MAX)).collect()
    }
}

impl Deref for Shape {
    type Target = [u64];

    fn deref(&self) -> &[u64] {
        &self.0
    }
}

impl FromIterator<u64> for Shape {
    fn from_iter<I: IntoIterator<Item = u64>>(dimensions: I) -> Self {
        Self(dimensions.into_iter().collect())
    }
}

impl From<&[u64]> for Shape {
    fn from(dimensions: &[u64]) -> Self {
        Self::new(dimensions)
    }
}

impl<const N: usize> From<[u64; N]> for Shape {
    fn from(dimensions: [u64; N]) -> Self {
        Self::new(&dimensions)
    }
}

/// Printed as Triton prints shapes: `[1,3,224,224]`.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_dimensions(&self.0))
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn format_dimensions<T: ToString>(dimensions: &[T]) -> String {
    let texts: Vec<String> = dimensions.iter().map(ToString::to_string).collect();
    format!("[{}]", texts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_elements_without_overflow() {
        assert_eq!(Shape::from([2, 3]).checked_element_count(), Some(6));
        assert_eq!(Shape::from([]).checked_element_count(), Some(1));
        assert_eq!(Shape::from([u64::MAX, 0]).checked_element_count(), Some(0));
        assert_eq!(Shape::from([u64::MAX, 2]).checked_element_count(), None);
        assert_eq!(Shape::from([1 << 62, 2]).checked_element_count(), None);
    }

    #[test]
    fn refuses_negative_dimensions_and_products_that_overflow() {
        assert_eq!(Shape::from_signed(&[2, -1]), Err(ShapeOverflow::Negative("[2,-1]".into())));
        let overflow = Shape::from_signed(&[i64::MAX, 2]).unwrap_err();
        assert!(overflow.to_string().contains("exceed maximum size of 9223372036854775807"), "{overflow}");
    }

    #[test]
    fn byte_size_needs_a_fixed_size_type() {
        assert_eq!(Shape::from([4, 4]).byte_size(DataType::Fp16), Some(32));
        assert_eq!(Shape::from([4]).byte_size(DataType::Bytes), None);
    }
}
