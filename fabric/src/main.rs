//! The command `hacher-fabric`.
fn main() {}
