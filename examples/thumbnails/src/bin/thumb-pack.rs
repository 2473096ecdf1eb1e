//! The program of the function `pack`.

use std::process::ExitCode;

fn main() -> ExitCode {
    hacher::serve(thumbnails::pack)
}
