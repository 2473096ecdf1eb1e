//! A place in a chain: made from the entries of an attachment, and what a [`machine`] gives for them.

pub mod entries;
pub mod machine;
pub mod making;
