//! Access tokens against a provider of our own: rotation while requests flow, outage, strangers'
//! tokens, bound ones, and those that have to be asked about.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use gateway_common::Reason;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};

use super::{
    client::Client,
    lab::{Lab, config},
    tls::{Authority, borrowed, mutual, named, with_tls},
};
use crate::{
    clock,
    config::{
        load,
        model::{Algorithm, Config, ForwardCertificate, Identity},
    },
    ipc::message::Query,
    proxy::identity::jwt::testing::{Signer, document, encode},
};

/// Publishes keys, and says what it thinks of tokens, until it is told to be away.
struct Idp {
    origin: String,
    pages: Arc<Mutex<HashMap<String, String>>>,
    asked: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
}

impl Idp {
    async fn start(signers: &[&Signer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let idp =
            Self { origin, pages: Arc::default(), asked: Arc::default(), _tasks: JoinSet::new() };
        let well_known =
            json!({ "issuer": idp.origin, "jwks_uri": format!("{}/keys", idp.origin) });
        idp.page("/.well-known/openid-configuration", &well_known.to_string());
        idp.publish(signers);
        let (pages, asked) = (Arc::clone(&idp.pages), Arc::clone(&idp.asked));
        let serving = async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut seen = Vec::new();
                let mut chunk = [0; 4096];
                // Small requests: they come in one piece, or their body right behind.
                while !whole(&seen) {
                    match stream.read(&mut chunk).await {
                        Ok(read) if read > 0 => seen.extend_from_slice(&chunk[..read]),
                        _ => break,
                    }
                }
                asked.fetch_add(1, Relaxed);
                let seen = String::from_utf8_lossy(&seen).into_owned();
                let path = seen.split(' ').nth(1).unwrap_or_default().to_owned();
                let token = seen.rsplit("token=").next().unwrap_or_default().to_owned();
                let key = if path == "/introspect" { format!("{path}:{token}") } else { path };
                let page = pages.lock().unwrap().get(&key).cloned();
                let (status, text) = page.map_or((503, "{}".to_owned()), |text| (200, text));
                let answer = format!(
                    "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{text}",
                    text.len()
                );
                drop(stream.write_all(answer.as_bytes()).await);
            }
        };
        let mut tasks = JoinSet::new();
        drop(tasks.spawn(serving));
        Self { _tasks: tasks, ..idp }
    }

    fn page(&self, path: &str, text: &str) {
        self.pages.lock().unwrap().insert(path.to_owned(), text.to_owned());
    }

    fn publish(&self, signers: &[&Signer]) {
        self.page("/keys", &document(signers));
    }

    fn away(&self) {
        self.pages.lock().unwrap().clear();
    }

    fn claims(&self) -> Value {
        let now = clock::wall().0;
        json!({
            "iss": self.origin, "aud": "payments", "sub": "u1", "client_id": "shop",
            "exp": now + 300, "iat": now - 1, "jti": "t1",
        })
    }

    fn config(&self, more: &str) -> Config {
        let text = format!(
            "[[listener]]\naddress = \"127.0.0.1:1\"\n[[identity]]\nname = \"customers\"\noidc = \"{}\"\naudience = \"payments\"\nlocal = true\n{more}\n",
            self.origin
        );
        with_identities(load(&text, "t.toml").unwrap().identities)
    }
}

fn whole(seen: &[u8]) -> bool {
    let text = String::from_utf8_lossy(seen);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.is_none_or(|length| body.len() >= length.parse().unwrap())
}

fn with_identities(identities: Vec<Identity>) -> Config {
    Config { identities, ..config() }
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[tokio::test]
async fn a_token_opens_its_route_and_the_supplier_never_sees_it() {
    let signer = Signer::new("k1", Algorithm::Es256);
    let idp = Idp::start(&[&signer]).await;
    let mut lab = Lab::start(idp.config(""));
    let mut client = lab.h2().await;
    let token = signer.token(&idp.claims());
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let field = format!("{scheme} {token}");
        let served = client.get_with("/keyed", &[("authorization", &field)]).await;
        assert_eq!(served.status, 200);
        assert!(!served.json().to_string().contains("eyJ"));
    }
    let figures = lab.instance().answer(&Query::Status)["identities"][0].clone();
    assert_eq!(
        (&figures["state"], &figures["keys"]),
        (&json!("keys known"), &json!(1)),
        "{figures}"
    );

    let missing = client.get("/keyed").await;
    assert_eq!((missing.status.as_u16(), missing.header("www-authenticate")), (401, "Bearer"));
    let mut other = idp.claims();
    other["aud"] = json!("ledger");
    let stranger = Signer::new("k1", Algorithm::Es256);
    drop(lab.strikes(1).await);
    for (field, reason) in [
        (bearer(&signer.token(&other)), Reason::TokenAudience),
        (bearer(&stranger.token(&idp.claims())), Reason::TokenSignature),
        (bearer("nonsense"), Reason::TokenMalformed),
        (bearer("a.b.c.d.e"), Reason::TokenEncrypted),
        (format!("DPoP {token}"), Reason::TokenScheme),
    ] {
        let refused = client.get_with("/keyed", &[("authorization", &field)]).await;
        assert_eq!(refused.status, 401, "{reason:?}");
        assert_eq!(refused.header("www-authenticate"), "Bearer error=\"invalid_token\"");
        assert_eq!(lab.strikes(1).await, [reason]);
    }
    let good = bearer(&token);
    let twice = [("authorization", good.as_str()), ("authorization", good.as_str())];
    assert_eq!(client.get_with("/keyed", &twice).await.status, 400);
    assert_eq!(lab.strikes(1).await, [Reason::FieldDuplicate]);
    for field in ["Basic eDp5", "Bearer", "Token x"] {
        let refused = client.get_with("/keyed", &[("authorization", field)]).await;
        assert_eq!(refused.header("www-authenticate"), "Bearer error=\"invalid_request\"");
        assert_eq!(lab.strikes(1).await, [Reason::CredentialMalformed]);
    }
    let log = lab.finish();
    assert!(log.iter().any(|line| line["client"] == "u1" && line["key"] == "t1"), "{log:?}");
    assert!(!json!(log).to_string().contains("eyJ"));
}

#[tokio::test]
async fn no_request_is_refused_while_keys_rotate() {
    let mut signers = vec![Signer::new("k0", Algorithm::Es256)];
    let idp = Idp::start(&[&signers[0]]).await;
    let lab = Lab::start(idp.config(""));
    let mut client = lab.h2().await;
    for turn in 1..4 {
        // At once, without a word before: worse than any provider does it.
        signers.push(Signer::new(&format!("k{turn}"), Algorithm::EdDsa));
        let (before, after) = (&signers[turn - 1], &signers[turn]);
        idp.publish(&[before, after]);
        for signer in [before, after] {
            let mut claims = idp.claims();
            claims["jti"] = json!(format!("{}-{turn}", signer.kid));
            let field = bearer(&signer.token(&claims));
            let served = client.get_with("/keyed", &[("authorization", &field)]).await;
            assert_eq!(served.status, 200, "turn {turn}, {}", signer.kid);
        }
    }
}

#[tokio::test]
async fn keys_without_names_rotate_too() {
    let signers = [Signer::new("", Algorithm::Es256), Signer::new("", Algorithm::Es256)];
    let idp = Idp::start(&[]).await;
    let publish = |signer: &Signer| {
        let keys = json!({ "keys": [signer.bare()] });
        idp.page("/keys", &keys.to_string());
    };
    publish(&signers[0]);
    let lab = Lab::start(idp.config(""));
    let mut client = lab.h1().await;
    for signer in &signers {
        publish(signer);
        let header = json!({ "alg": "ES256", "typ": "at+jwt" }).to_string();
        let field = bearer(&signer.raw(&header, &idp.claims().to_string()));
        assert_eq!(client.get_with("/keyed", &[("authorization", &field)]).await.status, 200);
    }
}

#[tokio::test]
async fn a_key_that_is_taken_back_ends_the_tokens_it_signed_though_they_are_remembered() {
    let (gone, stays) = (Signer::new("a", Algorithm::Es256), Signer::new("b", Algorithm::Es256));
    let idp = Idp::start(&[&gone]).await;
    let mut lab = Lab::start(idp.config(""));
    let mut client = lab.h1().await;
    let field = bearer(&gone.token(&idp.claims()));
    assert_eq!(client.get_with("/keyed", &[("authorization", &field)]).await.status, 200);
    idp.publish(&[&stays]);
    let other = bearer(&stays.token(&idp.claims()));
    assert_eq!(client.get_with("/keyed", &[("authorization", &other)]).await.status, 200);
    assert_eq!(client.get_with("/keyed", &[("authorization", &field)]).await.status, 401);
    assert_eq!(lab.strikes(1).await, [Reason::TokenKeyUnknown]);
}

#[tokio::test]
async fn an_outage_refuses_nobody_whose_key_is_known_and_tells_the_others_to_come_back() {
    let (signer, fresh) = (Signer::new("a", Algorithm::Es256), Signer::new("b", Algorithm::Es256));
    let idp = Idp::start(&[&signer]).await;
    let mut lab = Lab::start(idp.config(""));
    let mut client = lab.h1().await;
    let token = |signer: &Signer, jti: &str| {
        let mut claims = idp.claims();
        claims["jti"] = json!(jti);
        bearer(&signer.token(&claims))
    };
    let field = token(&signer, "1");
    assert_eq!(client.get_with("/keyed", &[("authorization", &field)]).await.status, 200);
    idp.away();
    let later = token(&fresh, "2");
    let unknown = client.get_with("/keyed", &[("authorization", &later)]).await;
    assert_eq!(unknown.status, 503);
    assert!(!unknown.header("retry-after").is_empty());
    for jti in ["3", "4"] {
        let field = token(&signer, jti);
        assert_eq!(client.get_with("/keyed", &[("authorization", &field)]).await.status, 200);
    }
    lab.no_strike();
}

#[tokio::test]
async fn made_up_key_names_cost_the_provider_little() {
    let signer = Signer::new("a", Algorithm::Es256);
    let idp = Idp::start(&[&signer]).await;
    let lab = Lab::start(idp.config(""));
    let mut client = lab.h1().await;
    let good = bearer(&signer.token(&idp.claims()));
    assert_eq!(client.get_with("/keyed", &[("authorization", &good)]).await.status, 200);
    let before = idp.asked.load(Relaxed);
    let stranger = Signer::new("made-up", Algorithm::Es256);
    for jti in 0..20 {
        let mut claims = idp.claims();
        claims["jti"] = json!(jti.to_string());
        let field = bearer(&stranger.token(&claims));
        assert_eq!(client.get_with("/keyed", &[("authorization", &field)]).await.status, 401);
    }
    assert!(idp.asked.load(Relaxed) - before <= 3, "asked once for the one name");
}

#[tokio::test]
async fn one_broken_issuer_disturbs_no_other() {
    let signer = Signer::new("a", Algorithm::Es256);
    let (good, broken) = (Idp::start(&[&signer]).await, Idp::start(&[&signer]).await);
    broken.page("/keys", "<html>");
    let mut config = good.config("");
    let mut other = broken.config("").identities.remove(0);
    "partners".clone_into(&mut other.name);
    config.identities.push(other);
    config.routes.push(crate::config::model::Route {
        name: "partners".to_owned(),
        identity: Some("partners".to_owned()),
        ..crate::proxy::testing::route("/partners")
    });
    let lab = Lab::start(config);
    let mut client = lab.h1().await;
    let field = bearer(&signer.token(&broken.claims()));
    assert_eq!(client.get_with("/partners", &[("authorization", &field)]).await.status, 503);
    let field = bearer(&signer.token(&good.claims()));
    assert_eq!(client.get_with("/keyed", &[("authorization", &field)]).await.status, 200);
    let field = bearer(&signer.token(&broken.claims()));
    assert_eq!(client.get_with("/keyed", &[("authorization", &field)]).await.status, 401);
    let lines = lab.instance().answer(&Query::Status)["identities"].clone();
    assert_eq!(lines[0]["state"], "keys known");
    assert_eq!(lines[1]["state"], "no keys; the provider is away");
    assert!(lines[1]["why"].as_str().unwrap().contains("no JSON"), "{lines}");
}

#[tokio::test]
async fn an_opaque_token_is_asked_about_once_and_what_its_issuer_says_holds() {
    let idp = Idp::start(&[]).await;
    let text = format!(
        "[[listener]]\naddress = \"127.0.0.1:1\"\n[[identity]]\nname = \"customers\"\nissuer = \"{0}\"\naudience = \"payments\"\nlocal = true\nintrospection = {{ url = \"{0}/introspect\", client_id = \"gate way\", secret_file = \"/secret\" }}\n",
        idp.origin
    );
    let config = with_identities(load(&text, "t.toml").unwrap().identities);
    let mut lab = Lab::with(config, None, &[("/secret", "s:cret\n")]);
    let mut client = lab.h1().await;
    let mut active = idp.claims();
    active["active"] = json!(true);
    idp.page("/introspect:good", &active.to_string());
    active["aud"] = json!("ledger");
    idp.page("/introspect:elsewhere", &active.to_string());
    idp.page("/introspect:gone", "{\"active\":false}");
    idp.page("/introspect:odd", "{\"active\":\"true\"}");
    for _ in 0..5 {
        let served = client.get_with("/keyed", &[("authorization", "Bearer good")]).await;
        assert_eq!(served.status, 200);
    }
    assert_eq!(idp.asked.load(Relaxed), 1);
    for (token, reason) in [
        ("gone", Reason::TokenInactive),
        ("gone", Reason::TokenInactive),
        ("odd", Reason::TokenInactive),
        ("elsewhere", Reason::TokenAudience),
        ("a%20b", Reason::TokenMalformed),
    ] {
        let field = bearer(token);
        let refused = client.get_with("/keyed", &[("authorization", &field)]).await;
        assert_eq!((refused.status.as_u16(), lab.strikes(1).await), (401, vec![reason]), "{token}");
    }
    assert_eq!(idp.asked.load(Relaxed), 4);
    let unknowable = client.get_with("/keyed", &[("authorization", "Bearer silence")]).await;
    assert_eq!(unknowable.status, 503);
}

/// A proof for a request to the lab.
fn proof(key: &Signer, token: &str, change: impl FnOnce(&mut Value, &mut Value)) -> String {
    let hash = encode(digest(&SHA256, token.as_bytes()).as_ref());
    let mut header = json!({ "typ": "dpop+jwt", "alg": key.algorithm.name(), "jwk": key.bare() });
    let mut claims = json!({
        "jti": encode(&clock::monotonic_ns().to_be_bytes()), "htm": "GET",
        "htu": "https://api.example/keyed", "iat": clock::wall().0, "ath": hash,
    });
    change(&mut header, &mut claims);
    key.raw(&header.to_string(), &claims.to_string())
}

fn thumbprint(key: &Signer) -> String {
    let read =
        crate::proxy::identity::jwt::Key::read(key.bare().as_object().unwrap(), &Algorithm::ALL);
    encode(&read.unwrap().thumbprint)
}

#[tokio::test]
async fn a_token_bound_to_a_key_counts_in_its_hands_alone() {
    let (signer, own) = (Signer::new("a", Algorithm::Es256), Signer::new("c", Algorithm::Es256));
    let idp = Idp::start(&[&signer]).await;
    let mut lab = Lab::start(idp.config("dpop = { origins = [\"https://api.example\"] }"));
    let mut client = lab.h1().await;
    let mut claims = idp.claims();
    claims["cnf"] = json!({ "jkt": thumbprint(&own) });
    let token = signer.token(&claims);
    let field = format!("DPoP {token}");
    // The process is young: what an earlier one saw is not known, so it asks for a nonce.
    let fresh = proof(&own, &token, |_, _| ());
    let asked = client.get_with("/keyed", &[("authorization", &field), ("dpop", &fresh)]).await;
    assert_eq!(asked.status, 401);
    assert!(asked.header("www-authenticate").contains("DPoP error=\"use_dpop_nonce\""));
    let nonce = asked.header("dpop-nonce").to_owned();
    let with = |change: &dyn Fn(&mut Value, &mut Value)| {
        proof(&own, &token, |header, claims| {
            claims["nonce"] = json!(nonce);
            change(header, claims);
        })
    };
    let good = with(&|_, _| ());
    let served = client.get_with("/keyed?q=1", &[("authorization", &field), ("dpop", &good)]).await;
    assert_eq!(served.status, 200);
    assert!(!served.json().to_string().contains("eyJ"), "neither token nor proof goes on");
    assert_eq!(lab.strikes(0).await, []);
    let stranger = Signer::new("d", Algorithm::Es256);
    let foreign = proof(&stranger, &token, |_, claims| claims["nonce"] = json!(nonce));
    let now = clock::wall().0;
    for (proof, reason) in [
        (good.clone(), Reason::DpopReplayed),
        (foreign, Reason::DpopMismatch),
        (with(&|_, claims| claims["htm"] = json!("POST")), Reason::DpopMismatch),
        (
            with(&|_, claims| claims["htu"] = json!("https://api.example/other")),
            Reason::DpopMismatch,
        ),
        (
            with(&|_, claims| claims["htu"] = json!("https://evil.example/keyed")),
            Reason::DpopMismatch,
        ),
        (with(&|_, claims| claims["ath"] = json!(encode(&[0; 32]))), Reason::DpopMismatch),
        (
            with(&|_, claims| drop(claims.as_object_mut().unwrap().remove("ath"))),
            Reason::DpopMalformed,
        ),
        (
            with(&|_, claims| drop(claims.as_object_mut().unwrap().remove("jti"))),
            Reason::DpopMalformed,
        ),
        (with(&|_, claims| claims["iat"] = json!(now - 600)), Reason::DpopTime),
        (with(&|_, claims| claims["iat"] = json!(now + 600)), Reason::DpopTime),
        (with(&|header, _| header["typ"] = json!("at+jwt")), Reason::DpopMalformed),
        (with(&|header, _| header["jwk"]["d"] = json!("AA")), Reason::DpopMalformed),
        (with(&|header, _| header["alg"] = json!("none")), Reason::DpopMalformed),
        (format!("{good}, {good}"), Reason::DpopMalformed),
    ] {
        let fields = [("authorization", field.as_str()), ("dpop", proof.as_str())];
        let refused = client.get_with("/keyed", &fields).await;
        assert_eq!((refused.status.as_u16(), lab.strikes(1).await), (401, vec![reason]));
        let challenge = refused.header("www-authenticate").to_owned();
        assert!(challenge.contains("DPoP error=\"invalid_dpop_proof\", algs="), "{challenge}");
    }
    // Stolen, and presented as if it were anybody's.
    let stolen = bearer(&token);
    let refused = client.get_with("/keyed", &[("authorization", &stolen)]).await;
    assert_eq!((refused.status.as_u16(), lab.strikes(1).await), (401, vec![Reason::TokenScheme]));
    let without = client.get_with("/keyed", &[("authorization", &field)]).await;
    assert_eq!((without.status.as_u16(), lab.strikes(1).await), (401, vec![Reason::DpopMalformed]));
    let old = proof(&own, &token, |_, claims| claims["nonce"] = json!("AAAA"));
    let asked = client.get_with("/keyed", &[("authorization", &field), ("dpop", &old)]).await;
    assert!(asked.header("www-authenticate").contains("use_dpop_nonce"));
}

#[tokio::test]
async fn a_token_bound_to_a_certificate_needs_it_on_this_connection() {
    let signer = Signer::new("a", Algorithm::Es256);
    let idp = Idp::start(&[&signer]).await;
    let mut lab = Lab::start(idp.config("sender = \"certificate\""));
    let mut client = lab.h1().await;
    let mut claims = idp.claims();
    let field = bearer(&signer.token(&claims));
    assert_eq!(client.get_with("/keyed", &[("authorization", &field)]).await.status, 401);
    claims["cnf"] = json!({ "x5t#S256": encode(&[7; 32]) });
    let field = bearer(&signer.token(&claims));
    assert_eq!(client.get_with("/keyed", &[("authorization", &field)]).await.status, 401);
    claims["cnf"] = json!({ "kid": "somewhere" });
    let field = bearer(&signer.token(&claims));
    assert_eq!(client.get_with("/keyed", &[("authorization", &field)]).await.status, 401);
    let reasons = [Reason::TokenUnbound, Reason::TokenCertificate, Reason::TokenClaims];
    assert_eq!(lab.strikes(3).await, reasons);
}

#[tokio::test]
async fn a_token_ends_when_it_says_though_it_is_remembered() {
    let signer = Signer::new("a", Algorithm::Es256);
    let idp = Idp::start(&[&signer]).await;
    let mut lab = Lab::start(idp.config("leeway = \"0s\""));
    let mut client = lab.h1().await;
    let field = bearer(&signer.token(&idp.claims()));
    assert_eq!(client.get_with("/keyed", &[("authorization", &field)]).await.status, 200);
    let ahead = clock::wall().plus(Duration::from_secs(400)).ahead(clock::monotonic_ns());
    lab.instance().set_time(ahead);
    assert_eq!(client.get_with("/keyed", &[("authorization", &field)]).await.status, 401);
    assert_eq!(lab.strikes(1).await, [Reason::TokenExpired]);
}

#[tokio::test]
async fn a_token_bound_to_a_certificate_counts_for_who_showed_it() {
    let (signer, authority) = (Signer::new("a", Algorithm::Es256), Authority::new());
    let server = authority.server(&["localhost"]);
    let mut files = named(&[("edge2", &server)]);
    files.push(("clients.pem".to_owned(), authority.pem()));
    files.push(("clients.crl".to_owned(), authority.crl(&[])));
    files.push(("/keys.json".to_owned(), document(&[&signer])));
    let text = "[[listener]]\naddress = \"127.0.0.1:1\"\n[[identity]]\nname = \"customers\"\njwks_file = \"/keys.json\"\nissuer = \"me\"\naudience = \"payments\"\nprofile = \"fapi2\"\n";
    let tls = with_tls(mutual(false, ForwardCertificate::Off));
    let config = Config { identities: load(text, "t.toml").unwrap().identities, ..tls };
    let mut lab = Lab::with(config, None, &borrowed(&files));
    let till = authority.issue(&["till.example"], 7, |_| {});
    let other = authority.issue(&["till.example"], 8, |_| {});
    let der = CertificateDer::from_pem_slice(till.certificate.as_bytes()).unwrap();
    let hash = encode(digest(&SHA256, &der).as_ref());
    let claims = json!({
        "iss": "me", "aud": "payments", "sub": "till 7", "exp": clock::wall().0 + 300,
        "cnf": { "x5t#S256": hash },
    });
    let field = bearer(&signer.token(&claims));
    for (own, status) in [(Some(&till), 200), (Some(&other), 401), (None, 401)] {
        let mut client = Client::connect(lab.address, authority.client(own)).await;
        let answer = client.get_with("/keyed", &[("authorization", &field)]).await;
        assert_eq!(answer.status, status);
    }
    let reasons = lab.strikes(2).await;
    assert_eq!(reasons, [Reason::TokenCertificate, Reason::TokenCertificate]);
}

#[tokio::test]
async fn an_issuer_that_says_nothing_holds_up_no_other() {
    let signer = Signer::new("a", Algorithm::Es256);
    let good = Idp::start(&[&signer]).await;
    // Takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let text = format!(
        "[[listener]]\naddress = \"127.0.0.1:1\"\n[[identity]]\nname = \"partners\"\noidc = \"http://{}\"\naudience = \"payments\"\nlocal = true\n",
        silent.local_addr().unwrap()
    );
    let mut config = good.config("");
    config.identities.insert(0, load(&text, "t.toml").unwrap().identities.remove(0));
    let lab = Lab::start(config);
    let mut client = lab.h1().await;
    let field = bearer(&signer.token(&good.claims()));
    assert_eq!(client.get_with("/keyed", &[("authorization", &field)]).await.status, 200);
    let lines = lab.instance().answer(&Query::Status)["identities"].clone();
    assert_eq!(lines[0]["keys"], 0, "{lines}");
    assert_eq!(lines[1]["state"], "keys known", "{lines}");
}
