//! The program of the function `decode`.

use std::process::ExitCode;

fn main() -> ExitCode {
    hacher_libos_net::serve(thumbnails::decode)
}
