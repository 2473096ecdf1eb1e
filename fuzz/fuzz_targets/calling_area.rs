#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hacher_fuzz_targets::calling_area(bytes));
