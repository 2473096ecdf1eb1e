//! The program of the function `pack`.

use std::process::ExitCode;

fn main() -> ExitCode {
    hacher_libos_net::serve(thumbnails::pack)
}
