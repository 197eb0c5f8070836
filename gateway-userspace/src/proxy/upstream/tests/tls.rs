//! TLS: who is believed, and what ALPN decides.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use futures_util::future::join_all;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PublicKeyData as _,
};
use rustls::{RootCertStore, ServerConfig, crypto, server::WebPkiClientVerifier};
use rustls_pki_types::PrivateKeyDer;

use super::{origin::Origin, *};
use crate::{config::model::Pair, proxy::upstream::SetupError};

/// An authority, and an origin with a certificate of it.
struct Trusted {
    origin: Origin,
    authority: Vec<u8>,
    /// Of the origin's public key.
    pin: [u8; 32],
    /// A certificate of the same authority for a client, and its key.
    client: (String, String),
}

async fn trusted(alpn: &[&[u8]]) -> Trusted {
    trusted_as(alpn, &["localhost", "127.0.0.1"]).await
}

async fn trusted_as(alpn: &[&[u8]], names: &[&str]) -> Trusted {
    made(alpn, names, false).await
}

/// Where `asks` it takes only clients with a certificate of the authority.
async fn made(alpn: &[&[u8]], names: &[&str], asks: bool) -> Trusted {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    let pin = digest(&SHA256, &key.subject_public_key_info()).as_ref().try_into().unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let own = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["edge".to_owned()]).unwrap().signed_by(&own, &issuer).unwrap();
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(issuer.der().clone()).unwrap();
    let verifier = if asks {
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .unwrap()
    } else {
        WebPkiClientVerifier::no_client_auth()
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let origin = Origin::tls(Arc::new(config)).await;
    let client = (certificate.pem(), own.serialize_pem());
    Trusted { origin, authority: issuer.pem().into_bytes(), pin, client }
}

async fn lab(trusted: &Trusted, host: Host, protocol: Protocol) -> Lab {
    let port = trusted.origin.address.port();
    with_targets(trusted, vec![Target { tls: true, host, port, protocol, weight: 1 }]).await
}

async fn with_targets(trusted: &Trusted, targets: Vec<Target>) -> Lab {
    let mut supplier = supplier(targets);
    supplier.ca = Some(PathBuf::from("ca.pem"));
    Lab::trusting(&[supplier], &[("ca.pem", &trusted.authority)]).await.unwrap()
}

fn localhost() -> Host {
    Host::Name("localhost".to_owned())
}

#[test]
fn agrees_on_h2_and_opens_one_connection_for_many() {
    on_worker(async {
        let trusted = trusted(&[b"h2", b"http/1.1"]).await;
        let lab = lab(&trusted, localhost(), Protocol::Auto).await;
        let texts = join_all((0..6).map(|_| lab.text("/streamed"))).await;
        assert!(texts.iter().all(|text| text == "one two three"));
        let named = lab.text("/named").await;
        assert_eq!(named, format!("https localhost:{} None", trusted.origin.address.port()));
        assert_eq!(trusted.origin.seen.connections.get(), 1);
        assert_eq!(lab.state().0, Protocol::Http2);
    });
}

#[test]
fn agrees_on_http1_and_pools() {
    on_worker(async {
        for alpn in [&[b"http/1.1" as &[u8]] as &[&[u8]], &[]] {
            let trusted = trusted(alpn).await;
            let lab = lab(&trusted, localhost(), Protocol::Auto).await;
            let texts = join_all((0..4).map(|_| lab.text("/hello"))).await;
            assert!(texts.iter().all(|text| text == "hello"));
            for _ in 0..4 {
                assert_eq!(lab.text("/hello").await, "hello");
            }
            assert!(trusted.origin.seen.connections.get() <= 4);
            assert_eq!(lab.state().1, trusted.origin.seen.connections.get());
            assert_eq!(lab.state().0, Protocol::Http1);
        }
    });
}

#[test]
fn speaks_the_configured_version_only() {
    on_worker(async {
        let both = trusted(&[b"h2", b"http/1.1"]).await;
        let http1 = lab(&both, localhost(), Protocol::Http1).await;
        assert_eq!(http1.text("/hello").await, "hello");
        assert_eq!(http1.state().0, Protocol::Http1);
        let old = trusted(&[b"http/1.1"]).await;
        let http2 = lab(&old, localhost(), Protocol::Http2).await;
        assert_eq!(http2.refusal("/hello").await.reason(), Reason::SupplierUnreachable);
    });
}

#[test]
fn verifies_an_address_as_a_name() {
    on_worker(async {
        let trusted = trusted(&[b"h2"]).await;
        let address = Host::Address(trusted.origin.address.ip());
        assert_eq!(lab(&trusted, address, Protocol::Auto).await.text("/hello").await, "hello");
    });
}

#[test]
fn sends_nothing_to_one_it_cannot_verify() {
    on_worker(async {
        let mut foreign = trusted(&[b"h2", b"http/1.1"]).await;
        foreign.authority = trusted(&[]).await.authority;
        let misnamed = trusted_as(&[b"h2"], &["other.example"]).await;
        for trusted in [foreign, misnamed] {
            let error = lab(&trusted, localhost(), Protocol::Auto).await.refusal("/hello").await;
            assert_eq!(error.reason(), Reason::SupplierUnreachable, "{error:?}");
            assert_eq!(trusted.origin.seen.requests(), 0);
        }
    });
}

#[test]
fn each_target_of_a_supplier_speaks_its_own_version() {
    on_worker(async {
        let both = trusted(&[b"h2", b"http/1.1"]).await;
        let port = both.origin.address.port();
        let target = |protocol| Target { tls: true, host: localhost(), port, protocol, weight: 1 };
        let lab = with_targets(&both, vec![target(Protocol::Http1), target(Protocol::Http2)]).await;
        for _ in 0..2 {
            assert_eq!(lab.text("/hello").await, "hello");
        }
        let spoken: Vec<_> =
            lab.supplier().front().targets.iter().map(|one| one.state().0).collect();
        assert_eq!(spoken, [Protocol::Http1, Protocol::Http2]);
    });
}

#[test]
fn what_cannot_be_verified_is_an_error_at_start() {
    on_worker(async {
        let target = target("127.0.0.1:1".parse().unwrap(), Protocol::Auto);
        let mut supplier = supplier(vec![Target { tls: true, ..target.clone() }]);
        supplier.ca = Some(PathBuf::from("ca.pem"));
        let missing = Lab::trusting(&[supplier.clone()], &[]).await.err().unwrap();
        assert!(matches!(missing, TlsError::Missing { .. }), "{missing:?}");
        for text in [
            b"no certificate".as_slice(),
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            let broken = Lab::trusting(&[supplier.clone()], &[("ca.pem", text)]).await;
            assert!(broken.is_err());
        }
        let mut config = testing::config();
        let host = Host::Name("not a name".to_owned());
        config.suppliers = vec![super::supplier(vec![Target { tls: true, host, ..target }])];
        let tls = tls_settings(&config, &secrets(&[])).unwrap();
        let fault = Setup::new(&config, &tls, &Book::new(&config)).unwrap_err();
        assert!(matches!(fault, SetupError::Name { .. }), "{fault:?}");
    });
}

#[test]
fn a_pinned_supplier_has_the_pinned_key_or_gets_nothing() {
    on_worker(async {
        let trusted = trusted(&[b"http/1.1"]).await;
        let port = trusted.origin.address.port();
        let protocol = Protocol::Auto;
        for (pins, works) in
            [(vec![trusted.pin], true), (vec![[7; 32], trusted.pin], true), (vec![[7; 32]], false)]
        {
            let seen = trusted.origin.seen.requests();
            let target = Target { tls: true, host: localhost(), port, protocol, weight: 1 };
            let mut supplier = supplier(vec![target]);
            supplier.ca = Some(PathBuf::from("ca.pem"));
            supplier.profile.pins = pins;
            let files = [("ca.pem", trusted.authority.as_slice())];
            let lab = Lab::trusting(&[supplier.clone()], &files).await.unwrap();
            if works {
                assert_eq!(lab.text("/hello").await, "hello");
            } else {
                assert_eq!(lab.refusal("/hello").await.reason(), Reason::SupplierUnreachable);
                assert_eq!(trusted.origin.seen.requests(), seen);
            }
            // A pin does not stand in for the authorities.
            supplier.ca = None;
            let foreign = Lab::trusting(&[supplier], &[]).await.unwrap();
            assert_eq!(foreign.refusal("/hello").await.reason(), Reason::SupplierUnreachable);
        }
    });
}

#[test]
fn shows_its_certificate_to_who_asks() {
    on_worker(async {
        let trusted = made(&[b"http/1.1"], &["localhost"], true).await;
        let port = trusted.origin.address.port();
        let protocol = Protocol::Http1;
        let target = Target { tls: true, host: localhost(), port, protocol, weight: 1 };
        let mut supplier = supplier(vec![target]);
        supplier.ca = Some(PathBuf::from("ca.pem"));
        let (certificate, key) = &trusted.client;
        let files = [
            ("ca.pem", trusted.authority.as_slice()),
            ("own.pem", certificate.as_bytes()),
            ("own.key", key.as_bytes()),
        ];
        let lab = Lab::trusting(&[supplier.clone()], &files).await.unwrap();
        assert!(lab.get("/hello").await.is_err(), "without a certificate");
        let (certificate, key) = ("own.pem".into(), "own.key".into());
        supplier.profile.certificate = Some(Pair { certificate, key });
        let lab = Lab::trusting(&[supplier], &files).await.unwrap();
        assert_eq!(lab.text("/hello").await, "hello");
    });
}
