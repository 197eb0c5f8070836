//! Every published class of attack on tokens, each refused for its own reason; the vectors of the
//! RFCs; and valid tokens of every algorithm.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    testing::{Signer, document, encode},
    *,
};
use crate::config::model::Algorithm;

const NOW: u64 = 1_800_000_000;

fn rules() -> Rules {
    Rules {
        issuer: "https://id.example".to_owned(),
        audiences: vec!["payments".to_owned()],
        types: vec!["at+jwt".to_owned()],
        leeway: 30,
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://id.example", "aud": "payments", "sub": "u1",
        "exp": NOW + 300, "iat": NOW - 5, "jti": "t1",
    })
}

fn set(signers: &[&Signer]) -> KeySet {
    KeySet::read(document(signers).as_bytes(), &Algorithm::ALL).unwrap().0
}

fn judge(token: &str, keys: &KeySet) -> Option<Reason> {
    let read = Compact::read(token.as_bytes(), Form::Token);
    read.and_then(|read| verify(&read, &rules(), keys, NOW)).err().map(|fault| fault.reason)
}

/// A signer with its set, and the verdict on what it signs.
struct Issuer {
    signer: Signer,
    keys: KeySet,
}

impl Issuer {
    fn new() -> Self {
        let signer = Signer::new("k1", Algorithm::Es256);
        let keys = set(&[&signer]);
        Self { signer, keys }
    }

    fn with_header(&self, change: impl FnOnce(&mut Value)) -> Option<Reason> {
        let mut header = self.signer.header();
        change(&mut header);
        judge(&self.signer.raw(&header.to_string(), &claims().to_string()), &self.keys)
    }

    fn with_claims(&self, change: impl FnOnce(&mut Value)) -> Option<Reason> {
        let mut claims = claims();
        change(&mut claims);
        judge(&self.signer.token(&claims), &self.keys)
    }

    fn with_signature(&self, change: impl FnOnce(&mut Vec<u8>)) -> Option<Reason> {
        let token = self.signer.token(&claims());
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let mut signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
        change(&mut signature);
        judge(&format!("{signed}.{}", encode(&signature)), &self.keys)
    }
}

#[test]
fn takes_tokens_of_every_algorithm_and_no_other_keys_signature() {
    for algorithm in Algorithm::ALL {
        let (one, other) = (Signer::new("k", algorithm), Signer::new("k", algorithm));
        let token = one.token(&claims());
        assert_eq!(judge(&token, &set(&[&one])), None, "{algorithm:?}");
        assert_eq!(judge(&token, &set(&[&other])), Some(Reason::TokenSignature), "{algorithm:?}");
    }
}

#[test]
fn the_algorithm_is_the_keys_and_never_the_tokens() {
    let issuer = Issuer::new();
    for name in
        ["none", "None", "NONE", "nOnE", "HS256", "HS384", "HS512", "ES256K", "RS1", "", "es256"]
    {
        let found = issuer.with_header(|header| header["alg"] = json!(name));
        assert_eq!(found, Some(Reason::TokenAlgorithm), "{name}");
    }
    for name in ["RS256", "PS256", "ES384", "EdDSA"] {
        let found = issuer.with_header(|header| header["alg"] = json!(name));
        assert_eq!(found, Some(Reason::TokenAlgorithmMismatch), "{name}");
    }
    for wrong in [json!(null), json!(1), json!(["ES256"]), json!({})] {
        let found = issuer.with_header(|header| header["alg"] = wrong);
        assert_eq!(found, Some(Reason::TokenAlgorithm));
    }
    let unsigned = format!("{}.{}.", encode(br#"{"alg":"none","typ":"at+jwt"}"#), encode(b"{}"));
    assert_eq!(judge(&unsigned, &issuer.keys), Some(Reason::TokenAlgorithm));
    // An RSA key for PS256 is not one for RS256, though the mathematics would do.
    let pss = Signer::new("k", Algorithm::Ps256);
    let keys = set(&[&pss]);
    let mut header = pss.header();
    header["alg"] = json!("RS256");
    let token = pss.raw(&header.to_string(), &claims().to_string());
    assert_eq!(judge(&token, &keys), Some(Reason::TokenAlgorithmMismatch));
}

#[test]
fn no_key_comes_with_the_token() {
    let issuer = Issuer::new();
    let own = issuer.signer.jwk();
    for (member, value) in [
        ("jku", json!("https://evil.example/keys")),
        ("x5u", json!("https://evil.example/chain")),
        ("jwk", own),
        ("x5c", json!(["MIIB"])),
    ] {
        let found = issuer.with_header(|header| header[member] = value);
        assert_eq!(found, Some(Reason::TokenHeaderKey), "{member}");
    }
}

#[test]
fn a_kid_is_a_name_and_nothing_else() {
    let issuer = Issuer::new();
    for kid in ["../../../../dev/null", "' UNION SELECT 'key", "k1\0", "K1", "", "|id", "k1/../k1"]
    {
        let found = issuer.with_header(|header| header["kid"] = json!(kid));
        assert_eq!(found, Some(Reason::TokenKeyUnknown), "{kid}");
    }
    for kid in [json!(1), json!(null), json!(["k1"]), json!("k".repeat(300))] {
        let found = issuer.with_header(|header| header["kid"] = kid);
        assert_eq!(found, Some(Reason::TokenJson));
    }
    let nameless = issuer.with_header(|header| drop(header.as_object_mut().unwrap().remove("kid")));
    assert_eq!(nameless, None);
}

#[test]
fn nothing_critical_is_understood_and_nothing_unencoded_read() {
    let issuer = Issuer::new();
    for (member, value) in [
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("crit", json!("b64")),
        ("b64", json!(false)),
        ("b64", json!(true)),
    ] {
        let found = issuer.with_header(|header| header[member] = value);
        assert_eq!(found, Some(Reason::TokenCritical), "{member}");
    }
}

#[test]
fn nested_packed_and_encrypted_tokens_are_refused_as_such() {
    let issuer = Issuer::new();
    for (member, value) in [
        ("cty", json!("JWT")),
        ("cty", json!("application/jwt")),
        ("cty", json!(1)),
        ("zip", json!("DEF")),
        ("enc", json!("A128GCM")),
    ] {
        let found = issuer.with_header(|header| header[member] = value);
        assert_eq!(found, Some(Reason::TokenEncrypted), "{member}");
    }
    assert_eq!(judge("a.b.c.d.e", &issuer.keys), Some(Reason::TokenEncrypted));
}

#[test]
fn there_is_one_form() {
    let issuer = Issuer::new();
    let token = issuer.signer.token(&claims());
    let [head, body, signature] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let json = json!({ "payload": body, "protected": head, "signature": signature }).to_string();
    for other in [&json, "", "a", "a.b", "a.b.c.d", &format!("{token}.x")] {
        assert_eq!(judge(other, &issuer.keys), Some(Reason::TokenMalformed), "{other}");
    }
    let long = issuer.with_claims(|claims| claims["x"] = json!("y".repeat(20_000)));
    assert_eq!(long, Some(Reason::TokenTooLarge));
}

#[test]
fn one_token_has_one_spelling() {
    let issuer = Issuer::new();
    let token = issuer.signer.token(&claims());
    assert_eq!(judge(&token, &issuer.keys), None);
    // 64 bytes leave two bits in the last digit that say nothing: three more spellings of each.
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = *token.as_bytes().last().unwrap();
    let place = alphabet.iter().position(|digit| *digit == last).unwrap();
    let respelled = alphabet.iter().skip(place + 1).take(15).map(|digit| {
        let mut other = token.clone();
        other.pop();
        other.push(char::from(*digit));
        other
    });
    let others =
        [format!("{token}="), format!("{token}=="), format!(" {token}"), format!("{token}\n")];
    let standard = token.replace(['-', '_'], "+");
    for other in respelled.chain(others).chain([standard].into_iter().filter(|one| *one != token)) {
        assert_eq!(judge(&other, &issuer.keys), Some(Reason::TokenEncoding), "{other}");
    }
}

#[test]
fn a_member_that_is_there_twice_has_no_value() {
    let issuer = Issuer::new();
    let (header, claims) = (issuer.signer.header().to_string(), claims().to_string());
    let twice = |text: &str, more: &str| text.replacen('{', &format!("{{{more},"), 1);
    let algorithm = issuer.signer.raw(&twice(&header, r#""alg":"none""#), &claims);
    let subject = issuer.signer.raw(&header, &twice(&claims, r#""sub":"admin""#));
    let escaped = issuer.signer.raw(&header, &twice(&claims, r#""\u0073ub":"admin""#));
    let trailing = issuer.signer.raw(&header, &format!("{claims}{claims}"));
    let list = issuer.signer.raw(&header, "[]");
    for token in [algorithm, subject, escaped, trailing, list] {
        assert_eq!(judge(&token, &issuer.keys), Some(Reason::TokenJson));
    }
}

#[test]
fn a_signature_has_its_length_and_is_not_made_of_zeros() {
    let issuer = Issuer::new();
    let form = Some(Reason::TokenSignatureForm);
    assert_eq!(issuer.with_signature(|signature| signature.fill(0)), form);
    assert_eq!(issuer.with_signature(|signature| signature[..32].fill(0)), form);
    assert_eq!(issuer.with_signature(|signature| signature[32..].fill(0)), form);
    assert_eq!(issuer.with_signature(|signature| signature.push(0)), form);
    assert_eq!(issuer.with_signature(|signature| signature.truncate(63)), form);
    assert_eq!(issuer.with_signature(Vec::clear), form);
    // As DER, which another reader might take.
    assert_eq!(
        issuer.with_signature(|signature| *signature = vec![0x30, 6, 2, 1, 1, 2, 1, 1]),
        form
    );
    let wrong = Some(Reason::TokenSignature);
    assert_eq!(issuer.with_signature(|signature| signature[5] ^= 1), wrong);
    assert_eq!(issuer.with_signature(|signature| signature.fill(0xff)), wrong);
    let rsa = Signer::new("k", Algorithm::Rs256);
    let keys = set(&[&rsa]);
    let token = rsa.token(&claims());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut longer = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
    longer.insert(0, 0);
    assert_eq!(judge(&format!("{signed}.{}", encode(&longer)), &keys), form);
}

#[test]
fn what_was_signed_is_what_is_read() {
    let issuer = Issuer::new();
    let token = issuer.signer.token(&claims());
    let [head, _, signature] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let mut other = claims();
    other["sub"] = json!("admin");
    let swapped = format!("{head}.{}.{signature}", encode(other.to_string().as_bytes()));
    assert_eq!(judge(&swapped, &issuer.keys), Some(Reason::TokenSignature));
}

#[test]
fn tokens_of_another_type_are_none() {
    let issuer = Issuer::new();
    for kind in ["JWT", "dpop+jwt", "logout+jwt", "secevent+jwt", "id+jwt", ""] {
        let found = issuer.with_header(|header| header["typ"] = json!(kind));
        assert_eq!(found, Some(Reason::TokenType), "{kind}");
    }
    let none = issuer.with_header(|header| drop(header.as_object_mut().unwrap().remove("typ")));
    assert_eq!(none, Some(Reason::TokenType));
    for kind in ["AT+JWT", "application/at+jwt", "Application/At+Jwt"] {
        assert_eq!(issuer.with_header(|header| header["typ"] = json!(kind)), None, "{kind}");
    }
}

#[test]
fn issuer_and_audience_are_exactly_these() {
    let issuer = Issuer::new();
    for iss in [
        json!("https://id.example/"),
        json!("https://ID.example"),
        json!(["https://id.example"]),
        json!(null),
    ] {
        let found = issuer.with_claims(|claims| claims["iss"] = iss);
        assert_eq!(found, Some(Reason::TokenIssuer));
    }
    for aud in [
        json!("ledger"),
        json!(["ledger"]),
        json!([]),
        json!(["payments", 1]),
        json!(null),
        json!({ "payments": 1 }),
        json!(vec!["payments"; 100]),
    ] {
        let found = issuer.with_claims(|claims| claims["aud"] = aud.clone());
        assert_eq!(found, Some(Reason::TokenAudience), "{aud}");
    }
    assert_eq!(issuer.with_claims(|claims| claims["aud"] = json!(["ledger", "payments"])), None);
}

#[test]
fn times_are_numbers_within_reach() {
    let issuer = Issuer::new();
    let with = |claim: &str, value: Value| issuer.with_claims(|claims| claims[claim] = value);
    for wrong in [
        json!("1900000000"),
        json!(-1),
        json!(1e300),
        json!(true),
        json!(null),
        json!([NOW]),
        json!(9.1e15),
    ] {
        for claim in ["exp", "nbf", "iat"] {
            assert_eq!(with(claim, wrong.clone()), Some(Reason::TokenClaims), "{claim} {wrong}");
        }
    }
    let without = issuer.with_claims(|claims| drop(claims.as_object_mut().unwrap().remove("exp")));
    assert_eq!(without, Some(Reason::TokenClaims));
    assert_eq!(with("exp", json!(NOW - 30)), Some(Reason::TokenExpired));
    assert_eq!(with("exp", json!(NOW - 29)), None);
    assert_eq!(with("exp", json!(0)), Some(Reason::TokenExpired));
    assert_eq!(with("nbf", json!(NOW + 30)), None);
    assert_eq!(with("nbf", json!(NOW + 31)), Some(Reason::TokenNotYet));
    assert_eq!(with("iat", json!(NOW + 31)), Some(Reason::TokenNotYet));
    // Fractions round to the stricter second.
    let (late, soon) = (format!("{}.9", NOW - 30), format!("{}.1", NOW + 30));
    let number = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(with("exp", number(&late)), Some(Reason::TokenExpired));
    assert_eq!(with("nbf", number(&soon)), Some(Reason::TokenNotYet));
}

#[test]
fn odd_keys_are_skipped_and_the_others_serve() {
    let good = Signer::new("good", Algorithm::Es256);
    let same = Signer::new("good", Algorithm::Es256);
    let (rsa, small) = (Signer::new("rsa", Algorithm::Rs256), encode(&[0xff; 128]));
    let with = |mut jwk: Value, member: &str, value: Value| {
        jwk[member] = value;
        jwk
    };
    let odd = [
        (json!({ "kty": "oct", "k": "AAAA" }), KeyFault::Private),
        (json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA" }), KeyFault::Kind),
        (json!({ "kty": "OKP", "crv": "X25519", "x": encode(&[1; 32]) }), KeyFault::Kind),
        (json!({ "kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA" }), KeyFault::Kind),
        (json!({ "kty": "RSA", "n": small, "e": "AQAB" }), KeyFault::Size),
        (with(rsa.jwk(), "e", json!("AQ")), KeyFault::Malformed),
        (with(rsa.jwk(), "e", json!("AQAA")), KeyFault::Malformed),
        (with(good.jwk(), "use", json!("enc")), KeyFault::Use),
        (with(good.jwk(), "key_ops", json!(["sign"])), KeyFault::Use),
        (with(good.jwk(), "alg", json!("HS256")), KeyFault::Algorithm),
        (with(good.jwk(), "alg", json!("RS256")), KeyFault::Algorithm),
        (with(good.jwk(), "d", json!("AAAA")), KeyFault::Private),
        (with(good.jwk(), "x", json!(encode(&[1; 32]))), KeyFault::Malformed),
        (with(good.jwk(), "x", json!("x=")), KeyFault::Malformed),
        (with(good.jwk(), "kid", json!(5)), KeyFault::Malformed),
        (json!("key"), KeyFault::Malformed),
        (good.jwk(), KeyFault::Twice),
        (same.jwk(), KeyFault::Twice),
    ];
    let mut keys = vec![good.jwk()];
    keys.extend(odd.iter().map(|(jwk, _)| jwk.clone()));
    let text = json!({ "keys": keys, "more": 1 }).to_string();
    let (set, skipped) = KeySet::read(text.as_bytes(), &Algorithm::ALL).unwrap();
    let found: Vec<KeyFault> = skipped.iter().map(|one| one.why).collect();
    assert_eq!(found, odd.iter().map(|(_, why)| *why).collect::<Vec<_>>());
    assert_eq!((set.len(), judge(&good.token(&claims()), &set)), (1, None));
}

#[test]
fn what_is_no_key_set_is_told_apart() {
    let read = |text: &str| KeySet::read(text.as_bytes(), &Algorithm::ALL).err();
    assert_eq!(read("<html>"), Some(SetFault::Json));
    assert_eq!(read("{}"), Some(SetFault::NoList));
    assert_eq!(read(r#"{"keys":{}}"#), Some(SetFault::NoList));
    assert_eq!(read(r#"{"keys":[]}"#), Some(SetFault::Empty));
    assert_eq!(read(r#"{"keys":[],"keys":[]}"#), Some(SetFault::Json));
    let one = Signer::new("k", Algorithm::Es256);
    let taken = KeySet::read(document(&[&one]).as_bytes(), &[Algorithm::EdDsa]);
    assert_eq!(taken.err(), Some(SetFault::Empty));
}

#[test]
fn an_rsa_key_without_algorithm_is_for_rs256_or_what_is_configured() {
    let signer = Signer::new("k", Algorithm::Ps256);
    let text = json!({ "keys": [signer.bare()] }).to_string();
    let token = {
        let header = json!({ "alg": "PS256", "typ": "at+jwt" }).to_string();
        signer.raw(&header, &claims().to_string())
    };
    let open = KeySet::read(text.as_bytes(), &Algorithm::ALL).unwrap().0;
    assert_eq!(judge(&token, &open), Some(Reason::TokenAlgorithmMismatch));
    let told = KeySet::read(text.as_bytes(), &Algorithm::FAPI2).unwrap().0;
    assert_eq!(judge(&token, &told), None);
}

#[test]
fn a_key_that_its_issuer_takes_back_is_retired_and_one_that_stays_is_the_same() {
    let (stays, goes) = (Signer::new("a", Algorithm::Es256), Signer::new("b", Algorithm::EdDsa));
    let before = set(&[&stays, &goes]);
    let key = |keys: &KeySet, signer: &Signer| {
        let token = signer.token(&claims());
        let read = Compact::read(token.as_bytes(), Form::Token).unwrap();
        verify(&read, &rules(), keys, NOW).unwrap().key
    };
    let (kept, gone) = (key(&before, &stays), key(&before, &goes));
    let after = set(&[&stays]).succeed(&before);
    assert!(!kept.is_retired() && gone.is_retired());
    assert!(std::sync::Arc::ptr_eq(&kept, &key(&after, &stays)));
}

/// RFC 7515 appendices A.2 and A.3, RFC 7520 sections 4.2 and 4.3, RFC 8037 appendix A.4.
#[test]
fn the_vectors_of_the_rfcs_hold() {
    let joe = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let frodo = "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4";
    for (algorithm, jwk, header, payload, signature) in [
        (
            Algorithm::Rs256,
            json!({ "kty": "RSA", "e": "AQAB", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ" }),
            "eyJhbGciOiJSUzI1NiJ9",
            joe,
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        ),
        (
            Algorithm::Es256,
            json!({ "kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" }),
            "eyJhbGciOiJFUzI1NiJ9",
            joe,
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
        (
            Algorithm::Ps384,
            json!({ "kty": "RSA", "alg": "PS384", "e": "AQAB", "n": "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw" }),
            "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9",
            frodo,
            "cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw",
        ),
        (
            Algorithm::Es512,
            json!({ "kty": "EC", "crv": "P-521", "x": "AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt", "y": "AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1" }),
            "eyJhbGciOiJFUzUxMiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9",
            frodo,
            "AE_R_YZCChjn4791jSQCrdPZCNYqHXCTZH0-JZGYNlaAjP2kqaluUIIUnC9qvbu9Plon7KRTzoNEuT4Va2cmL1eJAQy3mtPBu_u_sDDyYjnAMDxXPn7XrT0lw-kvAD890jl8e2puQens_IEKBpHABlsbEPX6sFY8OcGDqoRuBomu9xQ2",
        ),
        (
            Algorithm::EdDsa,
            json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }),
            "eyJhbGciOiJFZERTQSJ9",
            "RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        ),
    ] {
        let key = Key::read(jwk.as_object().unwrap(), &Algorithm::ALL).unwrap();
        let signed = format!("{header}.{payload}");
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert_eq!(key.verify(algorithm, signed.as_bytes(), &signature), Ok(()), "{algorithm:?}");
        let other = format!("{header}.{payload}A");
        assert!(key.verify(algorithm, other.as_bytes(), &signature).is_err(), "{algorithm:?}");
    }
}

/// RFC 7638 section 3.1, RFC 8037 appendix A.3.
#[test]
fn thumbprints_are_those_of_the_rfcs() {
    for (jwk, expected) in [
        (
            json!({ "kty": "RSA", "alg": "RS256", "kid": "2011-04-29", "e": "AQAB", "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw" }),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
        ),
        (
            json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
        ),
    ] {
        let key = Key::read(jwk.as_object().unwrap(), &Algorithm::ALL).unwrap();
        assert_eq!(encode(&key.thumbprint), expected);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(Compact::read(&bytes, Form::Token));
        drop(Compact::read(&bytes, Form::Proof));
        drop(KeySet::read(&bytes, &Algorithm::ALL));
    }

    #[test]
    fn no_changed_token_is_taken(place in 0_usize..400, with in any::<u8>()) {
        let issuer = Issuer::new();
        let token = issuer.signer.token(&claims());
        let mut bytes = token.clone().into_bytes();
        let place = place % bytes.len();
        prop_assume!(bytes[place] != with);
        bytes[place] = with;
        let read = Compact::read(&bytes, Form::Token);
        prop_assert!(read.and_then(|read| verify(&read, &rules(), &issuer.keys, NOW)).is_err());
    }
}
