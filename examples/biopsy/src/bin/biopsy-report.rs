//! The program of the function `report`.

use std::process::ExitCode;

fn main() -> ExitCode {
    hacher::serve(biopsy::report)
}
