//! Attacks the reader of the configuration: any text is a configuration or a list of faults.
#![no_main]

use gateway_userspace::config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(faults) = config::load(text, "fuzz.toml") {
        assert!(!faults.to_string().is_empty(), "refused without a word");
    }
});
