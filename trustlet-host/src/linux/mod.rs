//! What Linux offers the monitor whatever isolates its trustlets: files that are read whole, memory that is
//! sealed, waits that end. A platform that runs under Linux builds on it ([`crate::process`]).

pub mod file_content;
pub mod loaded;
pub(crate) mod patience;
pub mod report;
pub(crate) mod seals;
pub(crate) mod unhurried;
