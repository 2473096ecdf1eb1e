//! The program of the function `centroid`.

use biopsy::centroid::Centroids;
use std::process::ExitCode;

fn main() -> ExitCode {
    hacher_libos_net::serve(biopsy::classify::<Centroids>)
}
