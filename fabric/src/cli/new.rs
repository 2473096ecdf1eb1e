//! The words of `new`.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// What a new chain's function is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Template {
    /// A function in Rust
    Rust,
    /// A function in Python
    Python,
    /// A handler of AWS Lambda in Python, unchanged
    Lambda,
    /// A program that serves HTTP, in Python, unchanged
    Http,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  hacher-fabric new greetings --template rust\n  cd greetings && cat README.md"
)]
pub struct NewArgs {
    /// The folder to make; its name is the chain's: lower-case letters, digits, `-` and `_`, a letter first
    pub folder: PathBuf,
    /// What its function is written in
    #[arg(long, value_enum, default_value = "rust", value_name = "KIND")]
    pub template: Template,
    /// Hacher's source folder, whose packages `rust` and `python` build upon; by default the one that this
    /// executable was built in
    #[arg(long, value_name = "DIR")]
    pub sources: Option<PathBuf>,
}
