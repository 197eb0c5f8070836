//! What is remembered of tokens, and in whose hands they count.

use serde_json::{Map, json};

use super::{cache::Cache, *};
use crate::{
    config::model::Sender,
    proxy::identity::{dpop::Proof, jwt::testing::encode},
};

fn token(cnf: &Value, until: u64) -> Token {
    let mut claims = Map::new();
    if !cnf.is_null() {
        claims.insert("cnf".to_owned(), cnf.clone());
    }
    Token {
        binding: Binding::of(&claims).unwrap(),
        claims: Arc::new(claims),
        until,
        issued: None,
        caller: Arc::new(keys::Key::of("customers", "u1", "t1")),
        key: None,
    }
}

fn digest(number: u32) -> Digest {
    digest_of(&number.to_be_bytes())
}

#[test]
fn what_is_remembered_ends_with_the_token() {
    let cache = Cache::default();
    cache.remember(digest(1), Arc::new(token(&Value::Null, 100)), 500, Wall(50));
    assert!(cache.find(&digest(1), Wall(99)).unwrap().is_ok());
    assert!(cache.find(&digest(1), Wall(100)).is_none());
    assert!(cache.find(&digest(2), Wall(50)).is_none());
    cache.remember(digest(3), Arc::new(token(&Value::Null, 50)), 500, Wall(50));
    assert!(cache.find(&digest(3), Wall(49)).is_none(), "over before it was remembered");
    cache.inactive(digest(4), Wall(60));
    let inactive = cache.find(&digest(4), Wall(59)).unwrap().unwrap_err();
    assert_eq!(inactive.reason, Reason::TokenInactive);
    assert!(cache.find(&digest(4), Wall(60)).is_none());
}

#[test]
fn a_flood_of_tokens_is_bounded_and_what_is_used_stays() {
    let cache = Cache::default();
    let remember = |number: u32, bytes: usize| {
        cache.remember(digest(number), Arc::new(token(&Value::Null, 100)), bytes, Wall(1));
    };
    remember(0, 500);
    for number in 1..60_000 {
        remember(number, 500);
        assert!(cache.find(&digest(0), Wall(1)).is_some(), "{number}");
    }
    let (tokens, [hits, misses, dropped]) = cache.figures();
    assert!(tokens <= 16 * 1024, "{tokens}");
    assert!(dropped + tokens >= 60_000 && misses == 0 && hits == 59_999);
    // Large ones count by their size.
    for number in 100_000..103_000 {
        remember(number, 16 * 1024);
    }
    assert!(cache.figures().0 <= 16 * 2 * 33, "{}", cache.figures().0);
}

#[test]
fn a_confirmation_that_cannot_be_checked_never_holds() {
    let of = |cnf: Value| {
        let claims = json!({ "cnf": cnf });
        Binding::of(claims.as_object().unwrap())
    };
    let hash = encode(&[7; 32]);
    assert_eq!(of(json!({ "jkt": hash, "kid": "x" })).unwrap().key, Some([7; 32]));
    assert_eq!(of(json!({ "x5t#S256": hash })).unwrap().certificate, Some([7; 32]));
    let (short, padded) = (encode(&[7; 31]), format!("{hash}="));
    for wrong in [
        json!({}),
        json!(null),
        json!("jkt"),
        json!({ "kid": "x" }),
        json!({ "jkt": short }),
        json!({ "jkt": padded }),
        json!({ "jkt": 7 }),
        json!({ "jkt": hash, "x5t#S256": "x" }),
    ] {
        assert_eq!(of(wrong.clone()).unwrap_err().reason, Reason::TokenClaims, "{wrong}");
    }
}

#[test]
fn a_token_counts_in_the_hands_it_is_bound_to() {
    let (hash, fingerprint) = (encode(&[0xa7; 32]), "a7".repeat(32));
    let nobody = token(&Value::Null, 100);
    let certificate = token(&json!({ "x5t#S256": hash }), 100);
    let key = token(&json!({ "jkt": hash }), 100);
    let both = token(&json!({ "jkt": hash, "x5t#S256": hash }), 100);
    let (own, foreign) = (Proof::by([0xa7; 32]), Proof::by([1; 32]));
    let judge = |token: &Token, sender, scheme, shown: Option<&str>, proof: Option<&Proof>| {
        let hands = Hands { scheme, certificate: shown, proof };
        token.check_hands(sender, &hands).err().map(|fault| fault.reason)
    };
    let (bearer, dpop, shown) = (Scheme::Bearer, Scheme::Dpop, Some(fingerprint.as_str()));
    let optional = Sender::Optional;
    assert_eq!(judge(&nobody, optional, bearer, None, None), None);
    assert_eq!(judge(&nobody, optional, dpop, None, Some(&own)), Some(Reason::TokenScheme));
    for sender in [Sender::Required, Sender::Certificate, Sender::Dpop] {
        assert_eq!(judge(&nobody, sender, bearer, shown, None), Some(Reason::TokenUnbound));
    }
    assert_eq!(judge(&certificate, Sender::Required, bearer, shown, None), None);
    let other = "b7".repeat(32);
    for wrong in [None, Some(other.as_str()), Some("")] {
        let found = judge(&certificate, optional, bearer, wrong, None);
        assert_eq!(found, Some(Reason::TokenCertificate));
    }
    assert_eq!(judge(&certificate, Sender::Dpop, bearer, shown, None), Some(Reason::TokenUnbound));
    assert_eq!(judge(&key, Sender::Dpop, dpop, None, Some(&own)), None);
    assert_eq!(judge(&key, optional, bearer, shown, None), Some(Reason::TokenScheme));
    assert_eq!(judge(&key, optional, dpop, None, Some(&foreign)), Some(Reason::DpopMismatch));
    assert_eq!(judge(&key, optional, dpop, None, None), Some(Reason::DpopMismatch));
    assert_eq!(judge(&both, optional, dpop, shown, Some(&own)), None);
    assert_eq!(judge(&both, optional, dpop, None, Some(&own)), Some(Reason::TokenCertificate));
}

#[test]
fn names_in_logs_are_short_and_visible_and_never_cut_to_another() {
    assert_eq!(plain("auth0|5f7c"), "auth0|5f7c");
    let (long, longer) = ("x".repeat(300), "x".repeat(301));
    assert_ne!(plain(&long), plain(&longer));
    assert!(plain("a\nb").starts_with("sha256:"));
}
