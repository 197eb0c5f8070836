//! Attacks the reader of message signatures and digests: any two fields are a claim that does not
//! hold, or a fault; and what is no signature of ours never holds.
#![no_main]

use gateway_userspace::proxy::signature::{
    Algorithm, Digests, Message, Policy, Request, VerifyingKey, claim,
};
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], &[u8], &str)| {
    let (stated, signature, query) = input;
    let mut fields = HeaderMap::new();
    for (name, value) in [("signature-input", stated), ("signature", signature)] {
        let Ok(value) = HeaderValue::from_bytes(value) else { return };
        fields.insert(name, value.clone());
        fields.insert("content-digest", value);
    }
    drop(Digests::read(&fields));
    let key = VerifyingKey::read(Algorithm::HmacSha256, b"a secret nobody can guess").unwrap();
    let Ok(claim) = claim(&fields, None, None) else { return };
    let now = claim.created.unwrap_or_default();
    let message = Message::Request(Request {
        method: "GET",
        scheme: "https",
        authority: "a",
        path: "/",
        query: Some(query),
        fields: &fields,
    });
    let policy = Policy { required: Vec::new(), window: 1, skew: 0, nonce: false };
    assert!(claim.check(&message, &key, &policy, now).is_err(), "a forgery holds");
});
