//! The program of the function `prepare`.

use std::process::ExitCode;

fn main() -> ExitCode {
    hacher_libos_net::serve(biopsy::prepare)
}
