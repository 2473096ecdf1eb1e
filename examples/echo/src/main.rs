//! The program of the function `echo`: hands the handler to the trustlet's data path.

use std::process::ExitCode;

fn main() -> ExitCode {
    hacher::serve(echo::echo)
}
