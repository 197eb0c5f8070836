//! What an authority may get wrong, or do on purpose: it is refused, and what is served stays.

use std::sync::Arc;

use http::{Response, StatusCode, header::RETRY_AFTER};
use http_body_util::Full;
use instant_acme::BytesResponse;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::{board::Board, caller, order::checked};
use crate::{clock::Wall, config::model::Managed};

/// In 2027.
const NOW: Wall = Wall(1_800_000_000);

fn managed() -> Managed {
    Managed { name: "www.example.com".to_owned(), file: "/state/acme/www.example.com.pem".into() }
}

fn chain(name: &str, key: &KeyPair, last_year: i32) -> String {
    let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
    parameters.not_after = date_time_ymd(last_year, 1, 1);
    parameters.self_signed(key).unwrap().pem()
}

#[test]
fn what_is_issued_has_to_fit_the_key_the_name_and_the_time() {
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let (one, pem) = (managed(), key.serialize_pem());
    let good = chain(&one.name, &key, 2030);
    let bundle = checked(&one, &pem, &good, NOW).unwrap();
    assert!(bundle.starts_with(b"-----BEGIN PRIVATE KEY-----"));

    let refused = |chain: &str| checked(&one, &pem, chain, NOW).unwrap_err().told();
    assert!(refused(&chain(&one.name, &other, 2030)).contains("does not belong"));
    assert!(refused(&chain("www.example.org", &key, 2030)).contains("not for www.example.com"));
    assert!(refused(&chain(&one.name, &key, 2020)).contains("ended"));
    assert!(refused("<html>certificate</html>").contains("no certificate"));
    assert!(refused("").contains("no certificate"));
    assert!(refused(&[good.as_str(), &other.serialize_pem()].concat()).contains("private key"));
    assert!(refused(&good.repeat(200)).contains("bytes"));
    // The chain's first is the name's own (RFC 8555 section 9.1).
    let turned = [chain("ca.example", &other, 2030), good.clone()].concat();
    assert!(refused(&turned).contains("does not belong"));
}

#[test]
fn a_page_is_no_answer_of_an_authority() {
    let answer = |status: u16, kind: Option<&str>| {
        let mut builder = Response::builder().status(status);
        if let Some(kind) = kind {
            builder = builder.header("content-type", kind);
        }
        let response = builder.body(Full::<bytes::Bytes>::default()).unwrap();
        caller::check("acme.example", &BytesResponse::from(response))
    };
    assert!(answer(200, Some("application/json")).is_ok());
    assert!(answer(201, None).is_ok());
    assert!(answer(400, Some("application/problem+json; charset=utf-8")).is_ok());
    for (status, kind) in
        [(200, Some("text/html")), (500, Some("text/html")), (502, None), (503, Some("text/plain"))]
    {
        let told = answer(status, kind).unwrap_err().to_string();
        assert!(told.contains(&status.to_string()), "{told}");
    }
}

#[test]
fn a_wait_that_no_clock_can_count_is_bounded() {
    for (said, waited) in [("60", Some("60")), (&u64::MAX.to_string(), Some("604800"))] {
        let response = Response::builder()
            .status(StatusCode::SERVICE_UNAVAILABLE)
            .header(RETRY_AFTER, said)
            .body(Full::<bytes::Bytes>::default())
            .unwrap();
        let mut response = BytesResponse::from(response);
        let away = caller::bounded(&mut response);
        let header = response.parts.headers.get(RETRY_AFTER).map(|value| value.to_str().unwrap());
        assert_eq!(header, waited);
        assert_eq!(away.map(|away| away.as_secs().to_string()).as_deref(), waited);
    }
}

#[test]
fn an_answer_stands_for_its_own_challenge_and_no_longer_than_it() {
    let board = Arc::new(Board::default());
    let posted = board.post_http("token", "token.thumb");
    assert_eq!(board.answer_http("token").as_deref(), Some("token.thumb"));
    assert_eq!(board.answer_http("other"), None);
    assert_eq!(board.answer_http(""), None);
    drop(posted);
    assert_eq!(board.answer_http("token"), None);
}
