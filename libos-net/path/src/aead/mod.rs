//! Keys of the sealed data path.

pub mod keys;
