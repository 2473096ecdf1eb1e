//! What an instance does when there is no work.

pub mod waiting;
