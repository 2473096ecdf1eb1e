//! The program of the function `centroid`.

use biopsy::centroid::Centroids;
use std::process::ExitCode;

fn main() -> ExitCode {
    hacher::serve(biopsy::classify::<Centroids>)
}
