//! Attacks the judge of tokens: any bytes are a token, a proof, a key set, or refused with a reason;
//! and none is a token of a key that never signed anything.
#![no_main]

use std::sync::LazyLock;

use gateway_userspace::{
    config::model::Algorithm,
    proxy::identity::jwt::{Compact, Form, Key, KeySet, Rules, verify},
};
use libfuzzer_sys::fuzz_target;

/// RFC 8037 appendix A.2 and RFC 7515 appendix A.3: whose private halves are known, and unused here.
const KEYS: &str = r#"{"keys":[
    {"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
    {"kty":"EC","crv":"P-256","kid":"b","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}
]}"#;

static SET: LazyLock<KeySet> = LazyLock::new(|| {
    KeySet::read(KEYS.as_bytes(), &Algorithm::ALL).expect("the keys are lawful").0
});

fuzz_target!(|bytes: &[u8]| {
    let rules = Rules {
        issuer: "a".to_owned(),
        audiences: vec!["b".to_owned()],
        types: vec!["at+jwt".to_owned()],
        leeway: 30,
    };
    match Compact::read(bytes, Form::Token) {
        Ok(token) => assert!(verify(&token, &rules, &SET, 1_800_000_000).is_err(), "forged"),
        Err(fault) => assert!(!fault.detail.is_empty(), "refused without a word"),
    }
    if let Ok(proof) = Compact::read(bytes, Form::Proof)
        && let Some(jwk) = proof.jwk()
        && let Ok(key) = Key::read(jwk, &Algorithm::ALL)
    {
        std::hint::black_box(proof.check_signature(&key)).ok();
    }
    drop(KeySet::read(bytes, &Algorithm::ALL));
});
