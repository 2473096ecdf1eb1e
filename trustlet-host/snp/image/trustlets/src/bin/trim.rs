//! Takes blanks away at both ends.

#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "a name that the library begins with")]

use hacher_snp_trustlets::function;

#[unsafe(no_mangle)]
fn trustlet() {
    function::serve(|record| {
        let kept = record.trim_ascii().to_vec();
        *record = kept;
    });
}
