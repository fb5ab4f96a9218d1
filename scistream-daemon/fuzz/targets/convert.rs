//! Fuzz target: see `entries::convert`.

#![no_main]

#[path = "../entries.rs"]
#[expect(dead_code, reason = "each target takes one entry of the file")]
mod entries;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entries::convert(bytes));
