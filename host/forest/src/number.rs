//! The two kinds of floats that leaves are summed in.

use std::ops::{Add, AddAssign, Div};

/// A float of either size.
pub(crate) trait Number:
    Copy + PartialOrd + Add<Output = Self> + AddAssign + Div<Output = Self> + Send + Sync + 'static
{
    const ZERO: Self;
    const ONE: Self;

    fn from_f64(value: f64) -> Self;
    fn to_f32(self) -> f32;
    fn exp(self) -> Self;
    fn exp2(self) -> Self;
    fn ln_1p(self) -> Self;
    fn negated_product(self, factor: f64) -> Self;
    fn signed_square(self) -> Self;
}

macro_rules! number {
    ($float:ty) => {
        impl Number for $float {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;

            fn from_f64(value: f64) -> Self {
                value as $float
            }

            fn to_f32(self) -> f32 {
                self as f32
            }

            fn exp(self) -> Self {
                <$float>::exp(self)
            }

            fn exp2(self) -> Self {
                <$float>::exp2(self)
            }

            fn ln_1p(self) -> Self {
                <$float>::ln_1p(self)
            }

            fn negated_product(self, factor: f64) -> Self {
                -(factor as $float) * self
            }

            fn signed_square(self) -> Self {
                (self * self).copysign(self)
            }
        }
    };
}

number!(f32);
number!(f64);
