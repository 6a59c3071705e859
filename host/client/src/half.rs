//! The two 16-bit floats, for reading and for printing.

/// The nearest IEEE half; halfway cases go to the even one.
pub(crate) fn to_fp16(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = ((bits >> 16) & 0x8000) as u16;
    let magnitude = bits & 0x7fff_ffff;
    if magnitude > 0x7f80_0000 {
        return sign | 0x7e00;
    }
    // 65520 and beyond round to infinity.
    if magnitude >= 0x477f_f000 {
        return sign | 0x7c00;
    }
    if magnitude < 0x3880_0000 {
        // Below the smallest normal half: adding 0.5 in f32 leaves the rounded subnormal in the lowest bits.
        let rounded = f32::from_bits(magnitude) + 0.5;
        return sign | (rounded.to_bits() - 0.5_f32.to_bits()) as u16;
    }
    let rounded = magnitude + 0x0fff + ((magnitude >> 13) & 1);
    sign | ((rounded - 0x3800_0000) >> 13) as u16
}

/// Exactly the half's value.
pub(crate) fn from_fp16(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    let exponent = u32::from(half >> 10) & 0x1f;
    let mantissa = u32::from(half & 0x3ff);
    let magnitude = match exponent {
        0 => (mantissa as f32 / 16_777_216.0).to_bits(),
        0x1f => 0x7f80_0000 | (mantissa << 13),
        _ => ((exponent + 112) << 23) | (mantissa << 13),
    };
    f32::from_bits(sign | magnitude)
}

/// The nearest bfloat16; halfway cases go to the even one.
pub(crate) fn to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    ((u64::from(bits) + 0x7fff + u64::from((bits >> 16) & 1)) >> 16) as u16
}

/// Exactly the bfloat16's value.
pub(crate) fn from_bf16(half: u16) -> f32 {
    f32::from_bits(u32::from(half) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_survives_the_way_there_and_back() {
        for half in 0..=u16::MAX {
            let value = from_fp16(half);
            assert!(value.is_nan() && from_fp16(to_fp16(value)).is_nan() || to_fp16(value) == half, "{half:#06x}");
            let value = from_bf16(half);
            assert!(value.is_nan() && from_bf16(to_bf16(value)).is_nan() || to_bf16(value) == half, "{half:#06x}");
        }
    }

    #[test]
    fn what_lies_between_goes_to_the_nearest_and_halfway_to_the_even() {
        for (value, expected) in [
            (1.0 + 1.0 / 2048.0, 0x3c00),
            (1.0 + 3.0 / 2048.0, 0x3c02),
            (1.0 + 1.1 / 2048.0, 0x3c01),
            (65_519.0, 0x7bff),
            (65_520.0, 0x7c00),
            (-1e9, 0xfc00),
            (3e-8, 0x0001),
            (2.9e-8, 0x0000),
            (6.1e-5, 0x03ff),
        ] {
            assert_eq!(to_fp16(value), expected, "{value}");
        }
        assert_eq!(to_bf16(1.0 + 1.0 / 256.0), 0x3f80);
        assert_eq!(to_bf16(f32::MAX), 0x7f80);
    }
}
