//! The program of the function `logistic`.

use biopsy::logistic::Logistic;
use std::process::ExitCode;

fn main() -> ExitCode {
    hacher::serve(biopsy::classify::<Logistic>)
}
