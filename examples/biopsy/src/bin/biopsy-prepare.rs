//! The program of the function `prepare`.

use std::process::ExitCode;

fn main() -> ExitCode {
    hacher::serve(biopsy::prepare)
}
