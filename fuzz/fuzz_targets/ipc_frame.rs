//! Attacks the guard through a proxy that was taken over: bytes that are no message are refused,
//! and what is taken for a message is exactly one.
#![no_main]

use gateway_userspace::ipc::{
    frame::{decode, encode},
    message::{FromGuard, FromProxy},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = decode::<FromProxy>(bytes) {
        let again = encode(&message).expect("a decoded message encodes");
        assert_eq!(decode::<FromProxy>(&again).expect("and decodes again"), message);
    }
    if let Ok(message) = decode::<FromGuard>(bytes) {
        let again = encode(&message).expect("a decoded message encodes");
        assert_eq!(decode::<FromGuard>(&again).expect("and decodes again"), message);
    }
});
