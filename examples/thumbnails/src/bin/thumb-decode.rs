//! The program of the function `decode`.

use std::process::ExitCode;

fn main() -> ExitCode {
    hacher::serve(thumbnails::decode)
}
