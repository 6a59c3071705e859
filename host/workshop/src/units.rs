//! Numbers as people read them.

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// `93 KiB`, `18.8 MiB`.
pub fn bytes(bytes: u64) -> String {
    match bytes {
        0..KIB => format!("{bytes} bytes"),
        KIB..MIB => format!("{} KiB", bytes.div_ceil(KIB)),
        _ => format!("{:.1} MiB", bytes as f64 / MIB as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit_that_suits_them() {
        assert_eq!([0, 1023].map(bytes), ["0 bytes", "1023 bytes"]);
        assert_eq!([1024, 1025, MIB - 1].map(bytes), ["1 KiB", "2 KiB", "1024 KiB"]);
        assert_eq!([MIB, 19_730_750].map(bytes), ["1.0 MiB", "18.8 MiB"]);
    }
}
