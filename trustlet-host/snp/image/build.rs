//! How the image is linked, and where the programs of its trustlets are.

use std::path::Path;

fn main() {
    let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    println!("cargo:rerun-if-changed=layout.ld");
    println!("cargo:rerun-if-env-changed=HACHER_TRUSTLETS");
    for argument in [
        "-nostartfiles",
        "-nostdlib",
        "-static",
        "-no-pie",
        "-Wl,--build-id=none",
        "-Wl,-z,noexecstack",
        "-Wl,-z,max-page-size=4096",
    ] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    println!("cargo:rustc-link-arg-bins=-Wl,-T,{here}/layout.ld");
    let trustlets = std::env::var("HACHER_TRUSTLETS").unwrap_or_default();
    let trustlets = Path::new(&trustlets);
    for program in ["gateway", "trim", "upper", "reverse", "hostile"] {
        let path = trustlets.join(program);
        assert!(
            path.is_absolute() && path.is_file(),
            "HACHER_TRUSTLETS has to name the folder with the programs of the trustlets; `run` builds them first"
        );
        println!("cargo:rerun-if-changed={}", path.display());
    }
}
