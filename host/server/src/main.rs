//! The program `nereid`.

fn main() {}
