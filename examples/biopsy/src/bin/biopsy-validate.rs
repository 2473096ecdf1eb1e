//! The program of the function `validate`.

use std::process::ExitCode;

fn main() -> ExitCode {
    hacher::serve(biopsy::validate)
}
