//! The program of the function `logistic`.

use biopsy::logistic::Logistic;
use std::process::ExitCode;

fn main() -> ExitCode {
    hacher_libos_net::serve(biopsy::classify::<Logistic>)
}
