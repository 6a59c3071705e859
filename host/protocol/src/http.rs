//! HTTP bodies and conversions (to be written).
