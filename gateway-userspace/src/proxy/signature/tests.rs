//! The vectors of RFC 9421 appendix B.2 and RFC 9530, and what must not pass.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use proptest::prelude::*;

use super::*;

const MADE: u64 = 1_618_884_473;
const DIGEST: &str = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";
const ANSWER_DIGEST: &str = "sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:";
const SECRET: &str =
    "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
const PSS: &[u8] = include_bytes!("fixtures/rfc9421-rsa-pss.pub");
const P256: &[u8] = b"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lf\nw0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==\n-----END PUBLIC KEY-----\n";
const ED25519: &[u8] = b"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=\n-----END PUBLIC KEY-----\n";
const ED25519_JWK: &[u8] =
    br#"{"kty":"OKP","crv":"Ed25519","kid":"x","x":"JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"}"#;

const B21: [&str; 2] = [
    r#"sig-b21=();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd""#,
    "sig-b21=:d2pmTvmbncD3xQm8E9ZV2828BjQWGgiwAaw5bAkgibUopemLJcWDy/lkbbHAve4cRAtx31Iq786U7it++wgGxbtRxf8Udx7zFZsckzXaJMkA7ChG52eSkFxykJeNqsrWH5S+oxNFlD4dzVuwe8DhTSja8xxbR/Z2cOGdCbzR72rgFWhzx2VjBqJzsPLMIQKhO4DGezXehhWwE56YCE+O6c0mKZsfxVrogUvA4HELjVKWmAvtl6UnCh8jYzuVG5WSb/QEVPnP5TmcAnLH1g+s++v6d4s8m0gCw1fV5/SITLq9mhho8K3+7EPYTU8IU1bLhdxO5Nyt8C8ssinQ98Xw9Q==:",
];
const B22: [&str; 2] = [
    r#"sig-b22=("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example""#,
    "sig-b22=:LjbtqUbfmvjj5C5kr1Ugj4PmLYvx9wVjZvD9GsTT4F7GrcQEdJzgI9qHxICagShLRiLMlAJjtq6N4CDfKtjvuJyE5qH7KT8UCMkSowOB4+ECxCmT8rtAmj/0PIXxi0A0nxKyB09RNrCQibbUjsLS/2YyFYXEu4TRJQzRw1rLEuEfY17SARYhpTlaqwZVtR8NV7+4UKkjqpcAoFqWFQh62s7Cl+H2fjBSpqfZUJcsIk4N6wiKYd4je2U/lankenQ99PZfB4jY3I5rSV2DSBVkSFsURIjYErOs0tFTQosMTAoxk//0RoKUqiYY8Bh0aaUEb0rQl3/XaVe4bXTugEjHSw==:",
];
const B23: [&str; 2] = [
    r#"sig-b23=("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss""#,
    "sig-b23=:bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5p2voTp768ZrCUb38K0fUxN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA1ipwvKvfrs65ldmlu9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2FUo5fTIztsDZKEgM4cUA==:",
];
const B24: [&str; 2] = [
    r#"sig-b24=("@status" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-ecc-p256""#,
    "sig-b24=:wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==:",
];
const B25: [&str; 2] = [
    r#"sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#,
    "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:",
];
const B26: [&str; 2] = [
    r#"sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#,
    "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:",
];

fn fields(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
    };
    pairs.iter().map(pair).collect()
}

/// The request of appendix B.2.
fn request_fields(signed: [&str; 2]) -> HeaderMap {
    fields(&[
        ("host", "example.com"),
        ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("content-type", "application/json"),
        ("content-digest", DIGEST),
        ("content-length", "18"),
        ("signature-input", signed[0]),
        ("signature", signed[1]),
    ])
}

fn request(fields: &HeaderMap) -> Message<'_> {
    Message::Request(Request {
        method: "POST",
        scheme: "https",
        authority: "example.com",
        path: "/foo",
        query: Some("param=Value&Pet=dog"),
        fields,
    })
}

fn policy(required: &[&str]) -> Policy {
    let required = required.iter().map(|text| Component::parse(text).unwrap()).collect();
    Policy { required, window: 300, skew: 5, nonce: false }
}

fn secret() -> Vec<u8> {
    BASE64_STANDARD.decode(SECRET).unwrap()
}

fn key(algorithm: Algorithm, file: &[u8]) -> VerifyingKey {
    VerifyingKey::read(algorithm, file).unwrap()
}

fn judged(fields: &HeaderMap, key: &VerifyingKey, required: &[&str], now: u64) -> Option<Fault> {
    let claim = match claim(fields, None, None) {
        Ok(claim) => claim,
        Err(fault) => return Some(fault),
    };
    claim.check(&request(fields), key, &policy(required), now).err()
}

#[test]
fn the_signed_requests_of_the_rfc_hold() {
    let pss = key(Algorithm::RsaPssSha512, PSS);
    let shared = key(Algorithm::HmacSha256, &secret());
    let ed25519 = key(Algorithm::Ed25519, ED25519);
    for (signed, key) in [(B21, &pss), (B22, &pss), (B23, &pss), (B25, &shared), (B26, &ed25519)] {
        assert_eq!(judged(&request_fields(signed), key, &[], MADE + 10), None, "{}", signed[0]);
    }
    let jwk = key(Algorithm::Ed25519, ED25519_JWK);
    assert_eq!(judged(&request_fields(B26), &jwk, &[], MADE), None);
}

#[test]
fn the_signed_response_of_the_rfc_holds() {
    let fields = fields(&[
        ("date", "Tue, 20 Apr 2021 02:07:56 GMT"),
        ("content-type", "application/json"),
        ("content-digest", ANSWER_DIGEST),
        ("content-length", "23"),
        ("signature-input", B24[0]),
        ("signature", B24[1]),
    ]);
    let message = |status| Message::Response(Response { status, fields: &fields, request: None });
    let (claim, key) = (claim(&fields, None, None).unwrap(), key(Algorithm::EcdsaP256Sha256, P256));
    assert_eq!(claim.check(&message(StatusCode::OK), &key, &policy(&[]), MADE), Ok(()));
    let other = claim.check(&message(StatusCode::CREATED), &key, &policy(&[]), MADE);
    assert_eq!(other, Err(Fault::Forged));
}

#[test]
fn signing_yields_the_rfcs_bytes_where_the_algorithm_is_deterministic() {
    let fields = request_fields(B25);
    let components: Vec<_> =
        ["date", "@authority", "content-type"].map(|text| Component::parse(text).unwrap()).into();
    let statement = Statement {
        created: Some(MADE),
        key_id: Some("test-shared-secret".to_owned()),
        ..Statement::default()
    };
    let key = SigningKey::read(Algorithm::HmacSha256, &secret()).unwrap();
    let signed = sign(&request(&fields), "sig-b25", &components, &statement, &key).unwrap();
    assert_eq!([signed.input, signed.signature], B25);
}

#[test]
fn what_was_changed_on_the_way_does_not_hold() {
    let shared = key(Algorithm::HmacSha256, &secret());
    for (name, value) in [("date", "Tue, 20 Apr 2021 02:07:56 GMT"), ("content-type", "text/html")]
    {
        let mut fields = request_fields(B25);
        fields.insert(name, HeaderValue::from_static(value));
        assert_eq!(judged(&fields, &shared, &[], MADE), Some(Fault::Forged), "{name}");
    }
    let mut added = request_fields(B25);
    added.append("content-type", HeaderValue::from_static("text/html"));
    assert_eq!(judged(&added, &shared, &[], MADE), Some(Fault::Forged));
    let mut gone = request_fields(B25);
    gone.remove("content-type");
    let absent = Fault::AbsentComponent("\"content-type\"".to_owned());
    assert_eq!(judged(&gone, &shared, &[], MADE), Some(absent));
    let short = [B25[0], "sig-b25=:pxcQw6G3AjtMBQjwo8XzkQ==:"];
    assert_eq!(judged(&request_fields(short), &shared, &[], MADE), Some(Fault::Forged));
}

#[test]
fn a_signature_has_to_cover_what_is_asked_and_to_be_of_now() {
    let shared = key(Algorithm::HmacSha256, &secret());
    let fields = request_fields(B25);
    let found = |required: &[&str], now| judged(&fields, &shared, required, now);
    assert_eq!(found(&["@method"], MADE), Some(Fault::Uncovered("\"@method\"".to_owned())));
    assert_eq!(found(&["@authority"], MADE + 305), None);
    assert_eq!(found(&[], MADE + 306), Some(Fault::Stale));
    assert_eq!(found(&[], MADE - 5), None);
    assert_eq!(found(&[], MADE - 6), Some(Fault::Early));
    let undated = [r#"sig-b25=("date" "@authority" "content-type");keyid="k""#, B25[1]];
    assert_eq!(judged(&request_fields(undated), &shared, &[], MADE), Some(Fault::Undated));
}

#[test]
fn a_key_is_of_its_own_algorithm_whatever_the_signature_says() {
    // The public key's text as an HMAC secret: the confusion known from tokens.
    let input = r#"s=("@method");created=1618884473;alg="hmac-sha256""#;
    let fields = request_fields([input, "s=:AAAA:"]);
    let public = key(Algorithm::Ed25519, ED25519);
    assert_eq!(judged(&fields, &public, &[], MADE), Some(Fault::OtherAlgorithm));
    assert!(VerifyingKey::read(Algorithm::EcdsaP256Sha256, ED25519).is_err());
    assert!(VerifyingKey::read(Algorithm::RsaPssSha512, P256).is_err());
    assert!(VerifyingKey::read(Algorithm::EcdsaP256Sha256, ED25519_JWK).is_err());
    assert!(VerifyingKey::read(Algorithm::HmacSha256, b"short\n").is_err());
}

#[test]
fn ambiguous_and_unknown_claims_are_refused() {
    let shared = key(Algorithm::HmacSha256, &secret());
    let fault = |input: &str| {
        judged(&request_fields([input, "s=:AAAA:, t=:AAAA:"]), &shared, &[], MADE).unwrap()
    };
    let twice = fault(r#"s=("date" "date");created=1618884473"#);
    assert_eq!(twice, Fault::TwiceCovered("\"date\"".to_owned()));
    assert_eq!(fault("s=();created=1618884473, t=();created=1618884473"), Fault::Several);
    for unknown in
        ["\"@nonsense\"", "\"Date\"", "\"date\";tr", "\"@path\";sf", "\"date\";x=1", "date"]
    {
        let input = format!("s=({unknown});created=1618884473");
        assert!(matches!(fault(&input), Fault::UnknownComponent(_)), "{unknown}");
    }
    for broken in ["s=(", "s", "s=(\"date\");created=\"now\"", "s=();created=-1"] {
        assert_eq!(fault(broken), Fault::Malformed, "{broken}");
    }
    assert_eq!(fault("u=();created=1618884473"), Fault::Missing);
}

#[test]
fn derived_components_read_as_the_rfc_has_them() {
    let fields = fields(&[
        ("cache-control", "max-age=60"),
        ("cache-control", "   must-revalidate"),
        ("x-empty", ""),
        ("content-digest", "sha-256=:AAAA:,  sha-512=:BBBB:"),
    ]);
    let query = "var=this%20is%20a%20big%0Amultiline%20value&bar=with+plus+whitespace&fa%C3%A7ade%22%3A%20=something&twice=1&twice=2&%6eame=x";
    let message = Message::Request(Request {
        method: "GET",
        scheme: "HTTPS",
        authority: "WWW.Example.com:443",
        path: "",
        query: Some(query),
        fields: &fields,
    });
    let value = |text: &str| Component::parse(text).unwrap().value(&message).ok();
    let said = |text: &str| value(text).unwrap();
    assert_eq!(said("@authority"), "www.example.com");
    assert_eq!(said("@path"), "/");
    assert_eq!(said("@scheme"), "https");
    assert_eq!(said("@target-uri"), format!("https://www.example.com/?{query}"));
    assert_eq!(said("@request-target"), format!("/?{query}"));
    assert_eq!(said("\"@query-param\";name=\"bar\""), "with%20plus%20whitespace");
    assert_eq!(said("\"@query-param\";name=\"var\""), "this%20is%20a%20big%0Amultiline%20value");
    assert_eq!(said("\"@query-param\";name=\"fa%C3%A7ade%22%3A%20\""), "something");
    assert_eq!(said("\"@query-param\";name=\"name\""), "x");
    assert_eq!(value("\"@query-param\";name=\"twice\""), None);
    assert_eq!(said("cache-control"), "max-age=60, must-revalidate");
    assert_eq!(said("\"cache-control\";bs"), ":bWF4LWFnZT02MA==:, :bXVzdC1yZXZhbGlkYXRl:");
    assert_eq!(said("x-empty"), "");
    assert_eq!(said("\"content-digest\";sf"), "sha-256=:AAAA:, sha-512=:BBBB:");
    assert_eq!(said("\"content-digest\";key=\"sha-512\""), ":BBBB:");
    assert_eq!(value("@status"), None);
    assert_eq!(value("\"cache-control\";sf"), None);
}

#[test]
fn bodies_fit_their_digests_or_not() {
    let body = b"{\"hello\": \"world\"}";
    let digests = Digests::read(&fields(&[("content-digest", DIGEST)])).unwrap();
    assert_eq!(digests.check(body), Ok(()));
    assert_eq!(digests.check(b"{\"hello\": \"World\"}"), Err(Fault::OtherBody));
    // RFC 9530 appendix B.1, without the line break.
    let known = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:";
    let digests = Digests::read(&fields(&[("content-digest", known)])).unwrap();
    assert_eq!(digests.check(body), Ok(()));
    assert_eq!(content_digest(body).unwrap(), known);
    let one_wrong = format!("{known}, sha-512=:AAAA:");
    let digests = Digests::read(&fields(&[("content-digest", &one_wrong)])).unwrap();
    assert_eq!(digests.check(body), Err(Fault::OtherBody));
    for (said, fault) in [
        ("md5=:AAAA:", Fault::NoDigest),
        ("", Fault::NoDigest),
        ("sha-256=AAAA", Fault::Malformed),
        ("sha-256=(", Fault::Malformed),
    ] {
        assert_eq!(Digests::read(&fields(&[("content-digest", said)])), Err(fault), "{said}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_a_claim_panic_or_hold(input in "[ -~]{0,80}", signature in "[ -~]{0,80}") {
        let fields = fields(&[("signature-input", &input), ("signature", &signature)]);
        let shared = key(Algorithm::HmacSha256, &secret());
        prop_assert!(judged(&fields, &shared, &[], MADE).is_some());
    }

    #[test]
    fn what_is_signed_holds_and_no_other_path_does(path in "/[a-z0-9%._~-]{0,20}", query in "[a-z=&+%]{0,20}") {
        let signing = SigningKey::read(Algorithm::HmacSha256, &secret()).unwrap();
        let none = HeaderMap::new();
        let at = |path| Request { method: "GET", scheme: "https", authority: "a", path, query: Some(&query), fields: &none };
        let components = [Component::parse("@target-uri").unwrap()];
        let statement = Statement { created: Some(MADE), ..Statement::default() };
        let signed = sign(&Message::Request(at(&path)), "s", &components, &statement, &signing).unwrap();
        let mut fields = HeaderMap::new();
        for (name, value) in signed.fields() {
            fields.insert(name, value);
        }
        let (claim, key) = (claim(&fields, None, None).unwrap(), key(Algorithm::HmacSha256, &secret()));
        prop_assert_eq!(claim.check(&Message::Request(at(&path)), &key, &policy(&[]), MADE), Ok(()));
        let other = format!("{path}x");
        prop_assert_eq!(claim.check(&Message::Request(at(&other)), &key, &policy(&[]), MADE), Err(Fault::Forged));
    }
}
