//! The program of the function `report`.

use std::process::ExitCode;

fn main() -> ExitCode {
    hacher_libos_net::serve(biopsy::report)
}
