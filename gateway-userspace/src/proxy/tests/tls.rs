//! Handshakes as clients see them: names, client certificates, renewal, resumption, bounds.

use std::{collections::HashMap, io::Write as _, path::PathBuf, sync::Arc};

use gateway_common::Reason;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore};
use rustls_pki_types::{PrivateKeyDer, ServerName};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    client::PATIENCE,
    lab::{Lab, config, pair},
};
use crate::{
    config::model::{
        Certificates, ClientCertificates, Config, ForwardCertificate, Listener, Rate, Tls,
        UnknownNames,
    },
    ipc::message::{Query, RefusedFile},
    proxy::secrets::Secrets,
};

/// An authority, and what it issues as PEM.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

pub(super) struct Issued {
    pub(super) certificate: String,
    key: String,
    serial: SerialNumber,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap())
    }

    pub(super) fn issue(
        &self,
        names: &[&str],
        serial: u64,
        change: fn(&mut CertificateParams),
    ) -> Issued {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut parameters = CertificateParams::new(names).unwrap();
        parameters.serial_number = Some(serial.into());
        change(&mut parameters);
        let key = KeyPair::generate().unwrap();
        let made = parameters.signed_by(&key, &self.0).unwrap();
        Issued { certificate: made.pem(), key: key.serialize_pem(), serial: serial.into() }
    }

    pub(super) fn server(&self, names: &[&str]) -> Issued {
        self.issue(names, 1, |_| {})
    }

    pub(super) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(super) fn crl(&self, revoked: &[&Issued]) -> String {
        self.crl_until(revoked, 2090)
    }

    fn crl_until(&self, revoked: &[&Issued], year: i32) -> String {
        let revoked = revoked.iter().map(|issued| RevokedCertParams {
            serial_number: issued.serial.clone(),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(year, 1, 1),
            crl_number: 1_u64.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.0).unwrap().pem().unwrap()
    }

    /// A client that trusts it, with a certificate of its own or none.
    pub(super) fn client(&self, own: Option<&Issued>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match own {
            Some(own) => {
                let key = <PrivateKeyDer<'_> as rustls_pki_types::pem::PemObject>::from_pem_slice(
                    own.key.as_bytes(),
                );
                let chain = <rustls_pki_types::CertificateDer<'_> as rustls_pki_types::pem::PemObject>::from_pem_slice(own.certificate.as_bytes());
                builder.with_client_auth_cert(vec![chain.unwrap()], key.unwrap()).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }
}

fn secrets(files: &[(&str, &str)]) -> Secrets {
    let mut secrets = Secrets::default();
    for (path, text) in files {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        secrets.add((*path).to_owned(), &file).unwrap();
    }
    secrets
}

pub(super) fn with_tls(tls: Tls) -> Config {
    let mut config = config();
    config.listeners =
        vec![Listener { address: "127.0.0.1:1".parse().unwrap(), proxy_protocol: false, tls }];
    config
}

async fn connect(
    lab: &Lab,
    config: &Arc<ClientConfig>,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(lab.address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::clone(config)).connect(name, stream).await
}

/// What the echo says it was sent, or why nothing came.
async fn ask(stream: &mut TlsStream<TcpStream>) -> std::io::Result<String> {
    let request = "GET /x HTTP/1.1\r\nhost: localhost\r\nclient-cert: :ZXZpbA==:\r\nx-forwarded-client-cert: evil\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end")?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn lab_of(tls: Tls, files: &[(&str, &str)]) -> Lab {
    Lab::with(with_tls(tls), None, files)
}

fn files_of<'a>(name: &'a str, issued: &'a Issued) -> [(String, &'a str); 2] {
    [(format!("{name}.pem"), &issued.certificate), (format!("{name}.key"), &issued.key)]
}

pub(super) fn named(names: &[(&str, &Issued)]) -> Vec<(String, String)> {
    let files = names.iter().flat_map(|(name, issued)| files_of(name, issued));
    files.map(|(path, text)| (path, text.to_owned())).collect()
}

pub(super) fn borrowed(files: &[(String, String)]) -> Vec<(&str, &str)> {
    files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect()
}

fn pairs(names: &[&str]) -> Tls {
    Tls::of(Certificates::Files(names.iter().map(|name| pair(name)).collect()))
}

#[tokio::test]
async fn each_name_gets_its_certificate_and_a_wildcard_one_label() {
    let authority = Authority::new();
    let shop = authority.server(&["shop.example"]);
    let wild = authority.server(&["*.shop.example"]);
    let files = named(&[("shop", &shop), ("wild", &wild)]);
    let lab = lab_of(pairs(&["shop", "wild"]), &borrowed(&files));
    let client = authority.client(None);
    let shop = shown(&connect(&lab, &client, "shop.example").await.unwrap());
    let other = shown(&connect(&lab, &client, "a.shop.example").await.unwrap());
    assert_ne!(shop, other);
    assert_eq!(other, shown(&connect(&lab, &client, "B.SHOP.example").await.unwrap()));
    // Two labels are none of the wildcard's: the default comes, and the client refuses it.
    let error = connect(&lab, &client, "a.b.shop.example").await.unwrap_err();
    assert!(error.to_string().contains("not valid for name"), "{error}");
}

#[tokio::test]
async fn an_unknown_name_is_refused_by_an_alert_where_configured() {
    let authority = Authority::new();
    let shop = authority.server(&["shop.example", "127.0.0.1"]);
    let files = named(&[("shop", &shop)]);
    let tls = Tls { unknown_names: UnknownNames::Refuse, ..pairs(&["shop"]) };
    let mut lab = lab_of(tls, &borrowed(&files));
    let client = authority.client(None);
    connect(&lab, &client, "shop.example").await.unwrap();
    for name in ["other.example", "127.0.0.1"] {
        let error = connect(&lab, &client, name).await.unwrap_err();
        assert!(error.to_string().contains("UnrecognisedName"), "{error}");
    }
    let reasons = lab.strikes(2).await;
    assert_eq!(reasons, [Reason::TlsNameUnknown, Reason::TlsNameUnknown]);
}

#[tokio::test]
async fn the_post_quantum_group_is_taken_first_and_old_versions_are_refused() {
    let lab = Lab::start(config());
    let client = lab.identified.trusting(&[b"http/1.1"]);
    let stream = connect(&lab, &client, "localhost").await.unwrap();
    let session = stream.get_ref().1;
    assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    let group = session.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);

    // A hello of TLS 1.1 at most.
    let mut stream = TcpStream::connect(lab.address).await.unwrap();
    let mut hello = vec![22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x13, 1, 0]);
    stream.write_all(&hello).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    // A fatal alert: protocol_version, or what stands for it.
    assert_eq!((answer[0], answer[5]), (21, 2), "{answer:?}");
}

#[tokio::test]
async fn sessions_resume_also_after_a_renewal() {
    let authority = Authority::new();
    let first = authority.server(&["localhost"]);
    let files = named(&[("edge2", &first)]);
    let lab = lab_of(pairs(&["edge2"]), &borrowed(&files));
    let client = authority.client(None);
    ask(&mut connect(&lab, &client, "localhost").await.unwrap()).await.unwrap();
    let second = authority.server(&["localhost"]);
    let files = named(&[("edge2", &second)]);
    let refused = lab.instance().renew(&secrets(&borrowed(&files)), &HashMap::new());
    assert_eq!(refused, []);
    let stream = connect(&lab, &client, "localhost").await.unwrap();
    assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
}

#[tokio::test]
async fn a_renewal_is_seen_by_new_connections_and_open_ones_live_on() {
    let authority = Authority::new();
    let first = authority.server(&["localhost"]);
    let files = named(&[("edge2", &first)]);
    let lab = lab_of(pairs(&["edge2"]), &borrowed(&files));
    let mut open = connect(&lab, &authority.client(None), "localhost").await.unwrap();
    let second = authority.server(&["localhost"]);
    let files = named(&[("edge2", &second)]);
    lab.instance().renew(&secrets(&borrowed(&files)), &HashMap::new());
    let fresh = connect(&lab, &authority.client(None), "localhost").await.unwrap();
    assert_ne!(shown(&fresh), shown(&open));
    assert!(ask(&mut open).await.unwrap().starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn what_is_broken_expired_or_mismatched_leaves_the_last_good_pair_and_says_why() {
    let authority = Authority::new();
    let (one, two) = (authority.server(&["one.example"]), authority.server(&["two.example"]));
    let files = named(&[("one", &one), ("two", &two)]);
    let lab = lab_of(pairs(&["one", "two"]), &borrowed(&files));
    let client = authority.client(None);
    let before = shown(&connect(&lab, &client, "one.example").await.unwrap());
    let expired = authority.issue(&["one.example"], 3, |parameters| {
        parameters.not_after = date_time_ymd(2020, 1, 1);
    });
    let early = authority.issue(&["one.example"], 4, |parameters| {
        parameters.not_before = date_time_ymd(2090, 1, 1);
        parameters.not_after = date_time_ymd(2091, 1, 1);
    });
    let mismatched = Issued { key: two.key.clone(), ..authority.server(&["one.example"]) };
    let broken = Issued { certificate: "no PEM".to_owned(), ..authority.server(&["one.example"]) };
    for (bad, why) in [
        (expired, "days ago"),
        (early, "does not hold for another"),
        (mismatched, "does not belong"),
        (broken, "holds no certificate"),
    ] {
        // The other pair of the listener is taken all the same.
        let renewed = authority.server(&["two.example"]);
        let files = named(&[("one", &bad), ("two", &renewed)]);
        let refused = lab.instance().renew(&secrets(&borrowed(&files)), &HashMap::new());
        assert!(
            matches!(refused.as_slice(), [RefusedFile { path, why: said }] if path == "one.pem" && said.contains(why)),
            "{refused:?}"
        );
        assert_eq!(shown(&connect(&lab, &client, "one.example").await.unwrap()), before);
        let status = lab.instance().answer(&Query::Status);
        let line = &status["certificates"][0];
        assert!(line["warning"].as_str().unwrap().contains(why), "{line}");
        assert_eq!(line["names"][0], "one.example");
        assert_eq!(status["certificates"][1]["warning"], serde_json::Value::Null);
    }
    let unreadable = HashMap::from([(PathBuf::from("one.key"), "permission denied".to_owned())]);
    let files = named(&[("one", &one), ("two", &two)]);
    let refused = lab.instance().renew(&secrets(&borrowed(&files)), &unreadable);
    assert_eq!(refused[0].why, "permission denied");
}

pub(super) fn mutual(required: bool, forward: ForwardCertificate) -> Tls {
    let clients = ClientCertificates {
        authorities: PathBuf::from("clients.pem"),
        required,
        crls: vec![PathBuf::from("clients.crl")],
        stale_crls: false,
        forward,
    };
    Tls { clients: Some(clients), ..pairs(&["edge2"]) }
}

#[tokio::test]
async fn a_required_certificate_is_asked_for_verified_and_never_resumed() {
    let authority = Authority::new();
    let server = authority.server(&["localhost"]);
    let mut files = named(&[("edge2", &server)]);
    files.push(("clients.pem".to_owned(), authority.pem()));
    files.push(("clients.crl".to_owned(), authority.crl(&[])));
    let mut lab = lab_of(mutual(true, ForwardCertificate::Off), &borrowed(&files));
    let till = authority.issue(&["till.example"], 7, |_| {});
    let client = authority.client(Some(&till));
    for _ in 0..2 {
        let mut stream = connect(&lab, &client, "localhost").await.unwrap();
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
        let answer = ask(&mut stream).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("client-cert"), "{answer}");
    }

    let stranger = Authority::new().issue(&["till.example"], 7, |_| {});
    let clients = [authority.client(None), authority.client(Some(&stranger))];
    for client in &clients {
        // In TLS 1.3 the client is done first, and learns of it with its first read.
        let refused = match connect(&lab, client, "localhost").await {
            Ok(mut stream) => ask(&mut stream).await.is_err(),
            Err(_) => true,
        };
        assert!(refused);
    }
    let reasons = lab.strikes(2).await;
    assert_eq!(reasons, [Reason::ClientCertificateMissing, Reason::ClientCertificateInvalid]);
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_as_soon_as_the_list_is_renewed() {
    let authority = Authority::new();
    let server = authority.server(&["localhost"]);
    let mut files = named(&[("edge2", &server)]);
    files.push(("clients.pem".to_owned(), authority.pem()));
    files.push(("clients.crl".to_owned(), authority.crl(&[])));
    let mut lab = lab_of(mutual(true, ForwardCertificate::Off), &borrowed(&files));
    let till = authority.issue(&["till.example"], 7, |_| {});
    let client = authority.client(Some(&till));
    ask(&mut connect(&lab, &client, "localhost").await.unwrap()).await.unwrap();
    files.pop();
    files.push(("clients.crl".to_owned(), authority.crl(&[&till])));
    let refused = lab.instance().renew(&secrets(&borrowed(&files)), &HashMap::new());
    assert_eq!(refused, []);
    let outcome = match connect(&lab, &client, "localhost").await {
        Ok(mut stream) => ask(&mut stream).await,
        Err(error) => Err(error),
    };
    assert!(outcome.is_err());
    assert_eq!(lab.strikes(1).await, [Reason::ClientCertificateRevoked]);
}

#[tokio::test]
async fn a_list_past_its_time_refuses_everyone_and_blames_nobody() {
    let authority = Authority::new();
    let server = authority.server(&["localhost"]);
    let mut files = named(&[("edge2", &server)]);
    files.push(("clients.pem".to_owned(), authority.pem()));
    files.push(("clients.crl".to_owned(), authority.crl_until(&[], 2025)));
    let mut lab = lab_of(mutual(true, ForwardCertificate::Off), &borrowed(&files));
    let till = authority.issue(&["till.example"], 7, |_| {});
    let client = authority.client(Some(&till));
    let outcome = match connect(&lab, &client, "localhost").await {
        Ok(mut stream) => ask(&mut stream).await,
        Err(error) => Err(error),
    };
    assert!(outcome.is_err());
    lab.connected(0).await;
    lab.no_strike();
    let why = lab.instance().answer(&Query::WhyAddress("127.0.0.1".parse().unwrap()));
    assert!(why.to_string().contains("revocation_unknown"), "{why}");
    // The next list makes it well again, and a stale one is not taken in its place.
    files.pop();
    let stale = authority.crl_until(&[], 2025);
    for (list, refusals) in [(authority.crl(&[]), 0), (stale, 1)] {
        files.push(("clients.crl".to_owned(), list));
        let refused = lab.instance().renew(&secrets(&borrowed(&files)), &HashMap::new());
        assert_eq!(refused.len(), refusals, "{refused:?}");
        files.pop();
        ask(&mut connect(&lab, &client, "localhost").await.unwrap()).await.unwrap();
    }
}

#[tokio::test]
async fn suppliers_hear_of_a_certificate_from_us_alone() {
    let authority = Authority::new();
    let server = authority.server(&["localhost"]);
    let mut files = named(&[("edge2", &server)]);
    files.push(("clients.pem".to_owned(), authority.pem()));
    files.push(("clients.crl".to_owned(), authority.crl(&[])));
    let lab = lab_of(mutual(false, ForwardCertificate::Xfcc), &borrowed(&files));
    let anonymous = connect(&lab, &authority.client(None), "localhost").await;
    let answer = ask(&mut anonymous.unwrap()).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(!answer.contains("evil") && !answer.contains("client-cert"), "{answer}");

    let till = authority.issue(&["till.example"], 7, |parameters| {
        let identity = "spiffe://example.org/till/7".try_into().unwrap();
        parameters.subject_alt_names.push(SanType::URI(identity));
    });
    let known = connect(&lab, &authority.client(Some(&till)), "localhost").await;
    let answer = ask(&mut known.unwrap()).await.unwrap();
    assert!(!answer.contains("evil") && answer.contains("x-forwarded-client-cert"), "{answer}");
    assert!(answer.contains("spiffe://example.org/till/7"), "{answer}");
}

#[tokio::test]
async fn whoever_goes_away_in_a_handshake_earns_no_strike() {
    let mut lab = Lab::start(config());
    for sent in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut stream = TcpStream::connect(lab.address).await.unwrap();
        stream.write_all(sent).await.unwrap();
        drop(stream);
    }
    // A client that does not trust us breaks off by an alert.
    let stranger = Authority::new().client(None);
    connect(&lab, &stranger, "localhost").await.unwrap_err();
    lab.connected(0).await;
    lab.no_strike();
    // What no TLS client sends is evidence.
    let mut stream = TcpStream::connect(lab.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(lab.strikes(1).await, [Reason::TlsHandshake]);
}

#[tokio::test]
async fn handshakes_of_one_source_over_its_rate_are_reset_and_counted() {
    let mut config = config();
    let hour = std::time::Duration::from_hours(1);
    config.tls.handshakes = Rate { count: 1, per: hour, burst: 2 };
    let mut lab = Lab::start(config);
    let client = lab.identified.trusting(&[b"http/1.1"]);
    for _ in 0..2 {
        connect(&lab, &client, "localhost").await.unwrap();
    }
    connect(&lab, &client, "localhost").await.unwrap_err();
    assert_eq!(lab.strikes(1).await, [Reason::HandshakeLimit]);
}

#[tokio::test]
async fn a_metric_tells_how_long_each_certificate_holds() {
    let lab = Lab::start(config());
    let mut stream = TcpStream::connect(lab.metrics).await.unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut text = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut text)).await.unwrap().unwrap();
    let line = text.lines().find(|line| line.starts_with("gateway_certificate_expiry_seconds{"));
    let (name, seconds) = line.unwrap().split_once(' ').unwrap();
    assert!(name.contains("source=\"edge.pem\""), "{name}");
    assert!(seconds.parse::<u64>().unwrap() > 1_000_000_000, "{seconds}");
}
