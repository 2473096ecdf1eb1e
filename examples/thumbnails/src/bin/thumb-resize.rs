//! The program of the functions `small`, `medium` and `large`, which differ in their environment.

use std::process::ExitCode;
use thumbnails::thumbnail::Size;

fn main() -> ExitCode {
    match Size::from_environment() {
        Ok(size) => hacher::serve(thumbnails::resize(size)),
        Err(error) => {
            eprintln!("thumb-resize: {error}");
            ExitCode::from(2)
        }
    }
}
