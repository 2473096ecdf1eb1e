//! The program of the function `validate`.

use std::process::ExitCode;

fn main() -> ExitCode {
    hacher_libos_net::serve(biopsy::validate)
}
