//! Proofs: the RFC's own, what is not one, and none used twice.

use serde_json::{Value, json};

use super::*;
use crate::proxy::identity::{
    jwt::testing::{Signer, encode},
    token::{Digest, digest_of},
};

/// RFC 9449 section 7.1.
const TOKEN: &[u8] = b"Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
const PROOF: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
const THUMBPRINT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
const MADE: u64 = 1_562_262_618;

fn settings(nonce: bool) -> model::Dpop {
    let origins = vec!["https://resource.example.org".to_owned()];
    model::Dpop { origins, nonce, window: Duration::from_mins(1) }
}

fn terms(dpop: &model::Dpop) -> Terms<'_> {
    Terms { dpop, algorithms: &Algorithm::ALL, leeway: Duration::from_secs(10) }
}

fn asked<'a>(method: &'a str, path: &'a str, token: &'a Digest) -> Asked<'a> {
    Asked { method, paths: [path, path], token }
}

#[test]
fn the_proof_of_the_rfc_is_one_for_its_request_alone() {
    let (dpop, settings, token) = (Dpop::new(Wall(0)), settings(false), digest_of(TOKEN));
    let read = |asked: Asked<'_>, now: u64| {
        dpop.read(PROOF.as_bytes(), &asked, terms(&settings), Wall(now))
    };
    let good = asked("GET", "/protectedresource", &token);
    let proof = read(good, MADE + 5).unwrap();
    assert_eq!(encode(&proof.key), THUMBPRINT);

    let reason = |asked, now| read(asked, now).unwrap_err().reason;
    assert_eq!(reason(asked("POST", "/protectedresource", &token), MADE), Reason::DpopMismatch);
    assert_eq!(reason(asked("get", "/protectedresource", &token), MADE), Reason::DpopMismatch);
    assert_eq!(reason(asked("GET", "/protectedresource/", &token), MADE), Reason::DpopMismatch);
    let other = digest_of(b"another");
    assert_eq!(reason(asked("GET", "/protectedresource", &other), MADE), Reason::DpopMismatch);
    assert!(read(good, MADE + 69).is_ok());
    assert_eq!(reason(good, MADE + 70), Reason::DpopTime);
    assert!(read(good, MADE - 10).is_ok());
    assert_eq!(reason(good, MADE - 11), Reason::DpopTime);
}

#[test]
fn a_proof_is_used_once_while_it_could_be_used_at_all() {
    let (dpop, settings, token) = (Dpop::new(Wall(0)), settings(false), digest_of(TOKEN));
    let good = asked("GET", "/protectedresource", &token);
    let proof = dpop.read(PROOF.as_bytes(), &good, terms(&settings), Wall(MADE)).unwrap();
    assert_eq!(dpop.once(&proof, Wall(MADE)), Ok(()));
    for later in [0, 30, 70] {
        let again = dpop.once(&proof, Wall(MADE + later)).unwrap_err();
        assert_eq!(again.reason, Reason::DpopReplayed, "{later}");
    }
    assert_eq!(dpop.figures(), (1, 0));
}

#[test]
fn proofs_from_before_the_start_need_a_nonce_of_it() {
    let (settings, token) = (settings(false), digest_of(TOKEN));
    let good = asked("GET", "/protectedresource", &token);
    let read = |started: u64| {
        let dpop = Dpop::new(Wall(started));
        dpop.read(PROOF.as_bytes(), &good, terms(&settings), Wall(MADE + 20))
    };
    assert_eq!(read(MADE + 5).unwrap_err().reason, Reason::DpopNonce);
    // Its maker's clock may be ahead of ours.
    assert_eq!(read(MADE - 10).unwrap_err().reason, Reason::DpopNonce);
    assert!(read(MADE - 11).is_ok());
}

#[test]
fn a_nonce_is_good_for_its_stretch_and_the_next_and_in_its_process() {
    let (one, other) = (Nonces::new(), Nonces::new());
    let at = |seconds: u64| Wall(1_800_000_000 + seconds);
    let given = one.of(at(0));
    assert!(one.is_ours(&given, at(0)) && one.is_ours(&given, at(119)));
    assert!(!one.is_ours(&given, at(120)) && !other.is_ours(&given, at(0)));
    for wrong in ["", "AAAA", &given[1..], &given.to_ascii_lowercase(), &format!("{given}A")] {
        assert!(!one.is_ours(wrong, at(0)), "{wrong}");
    }
}

#[test]
fn a_nonce_of_ours_is_asked_for_where_that_is_configured() {
    let (dpop, settings, token) = (Dpop::new(Wall(0)), settings(true), digest_of(TOKEN));
    let key = Signer::new("k", Algorithm::EdDsa);
    let now = Wall(MADE);
    let proof = |nonce: Option<&str>| {
        let header = json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": key.bare() });
        let mut claims = json!({
            "jti": "1", "htm": "GET", "htu": "HTTPS://Resource.example.org:443/a?b#c",
            "iat": MADE, "ath": encode(&token),
        });
        if let Some(nonce) = nonce {
            claims["nonce"] = Value::from(nonce);
        }
        key.raw(&header.to_string(), &claims.to_string())
    };
    let read = |nonce: Option<&str>| {
        let good = asked("GET", "/a", &token);
        dpop.read(proof(nonce).as_bytes(), &good, terms(&settings), now).map(|_| ())
    };
    assert_eq!(read(None).unwrap_err().reason, Reason::DpopNonce);
    assert_eq!(read(Some("made-up")).unwrap_err().reason, Reason::DpopNonce);
    assert_eq!(read(Some(&dpop.nonce(now))), Ok(()));
}

#[test]
fn a_store_that_is_full_turns_away_and_forgets_what_is_too_old() {
    let seen = Seen::default();
    let mark = |number: u32| {
        let mut mark = [0; 16];
        // All in one shard.
        mark[4..8].copy_from_slice(&number.to_be_bytes());
        mark
    };
    let room = (0..100_000).take_while(|number| seen.once(mark(*number), 100, 1).is_ok()).count();
    assert_eq!(room, 32 * 1024);
    assert_eq!(seen.once(mark(1_000_000), 100, 2).unwrap_err().reason, Reason::DpopBusy);
    assert_eq!(seen.figures(), (room as u64, 2));
    assert_eq!(seen.once(mark(5), 200, 50).unwrap_err().reason, Reason::DpopReplayed);
    assert_eq!(seen.once(mark(1_000_000), 200, 101), Ok(()));
    assert_eq!(seen.figures().0, 1);
}
