//! The resolver against name servers on loopback, of which some lie.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    sync::atomic::Ordering::Relaxed,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UdpSocket},
    task::JoinSet,
};

use super::{
    message::tests::{response, soa, wire},
    resolver::{Finding, Findings, Resolver},
    *,
};
use crate::config::{defaults, model::Dns};

/// What a server makes of a question, as datagrams.
type Answers = fn(&[u8]) -> Vec<Vec<u8>>;

struct Served {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

/// Over UDP, and over TCP on the same port with the last of the answers.
async fn serve(udp: Answers, tcp: Answers) -> Served {
    let (socket, listener) = loop {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        if let Ok(listener) = TcpListener::bind(socket.local_addr().unwrap()).await {
            break (socket, listener);
        }
    };
    let address = socket.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut bytes = [0; 2048];
        loop {
            let (count, peer) = socket.recv_from(&mut bytes).await.unwrap();
            for answer in udp(&bytes[..count]) {
                socket.send_to(&answer, peer).await.unwrap();
            }
        }
    });
    tasks.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let length = stream.read_u16().await.unwrap();
            let mut query = vec![0; usize::from(length)];
            stream.read_exact(&mut query).await.unwrap();
            let answer = tcp(&query).pop().unwrap();
            stream.write_u16(u16::try_from(answer.len()).unwrap()).await.unwrap();
            stream.write_all(&answer).await.unwrap();
        }
    });
    Served { address, _tasks: tasks }
}

fn resolver(servers: &[SocketAddr]) -> Resolver {
    let timeout = Duration::from_millis(400);
    let settings = Dns { servers: servers.to_vec(), timeout, attempts: 1, ..defaults::dns() };
    let nowhere = std::path::Path::new("/nonexistent");
    Resolver::at(&settings, nowhere, nowhere)
}

fn is_v4(query: &[u8]) -> bool {
    let end = query.iter().skip(12).position(|byte| *byte == 0).unwrap() + 12;
    query[end + 2] == 1
}

fn good(query: &[u8]) -> Vec<Vec<u8>> {
    if !is_v4(query) {
        return vec![response(query, 0, &[], &[("example", 6, 60, soa(20))])];
    }
    vec![response(query, 0, &[("api.example", 1, 40, vec![192, 0, 2, 7])], &[])]
}

fn forged(query: &[u8]) -> Vec<Vec<u8>> {
    let poison = response(query, 0, &[("api.example", 1, 40, vec![6, 6, 6, 6])], &[]);
    let mut other_id = poison.clone();
    other_id[1] ^= 1;
    let mut other_name = poison;
    other_name[13] ^= 1;
    [vec![other_id, other_name, vec![0; 3]], good(query)].concat()
}

fn guessing(query: &[u8]) -> Vec<Vec<u8>> {
    (0..40).filter_map(|_| forged(query).into_iter().next()).collect()
}

fn truncated(query: &[u8]) -> Vec<Vec<u8>> {
    let mut all = good(query);
    all[0][2] |= 0x02;
    let whole = all[0].len();
    all[0].truncate(whole - 4);
    all
}

fn silent(_query: &[u8]) -> Vec<Vec<u8>> {
    Vec::new()
}

fn failing(query: &[u8]) -> Vec<Vec<u8>> {
    vec![response(query, 2, &[], &[])]
}

fn missing(query: &[u8]) -> Vec<Vec<u8>> {
    vec![response(query, 3, &[], &[("example", 6, 300, soa(15))])]
}

fn alias(query: &[u8]) -> Vec<Vec<u8>> {
    // Each name is an alias of a longer one, for ever.
    let end = query.iter().skip(12).position(|byte| *byte == 0).unwrap() + 12;
    let label = usize::from(query[12]);
    let name = String::from_utf8_lossy(&query[13..13 + label]).into_owned();
    let rest = String::from_utf8_lossy(&query[14 + label..end]).into_owned();
    let owner = format!("{name}.{rest}");
    vec![response(query, 0, &[(&owner, 5, 9, wire(&format!("{name}a.{rest}")))], &[])]
}

fn v4(findings: &Findings) -> Vec<IpAddr> {
    match &findings.v4 {
        Finding::Found { addresses, .. } => addresses.clone(),
        other @ (Finding::Absent { .. } | Finding::Failed(_)) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn finds_addresses_with_their_time_and_absence_with_its_own() {
    let server = serve(good, silent).await;
    let found = resolver(&[server.address]).find("api.example").await;
    let ttl = Duration::from_secs(40);
    let addresses = vec![[192, 0, 2, 7].into()];
    assert_eq!(found.v4, Finding::Found { addresses, ttl });
    let ttl = Some(Duration::from_secs(20));
    assert_eq!(found.v6, Finding::Absent { exists: true, ttl });
}

#[tokio::test]
async fn answers_to_other_questions_are_passed_over_and_counted() {
    let server = serve(forged, silent).await;
    let resolver = resolver(&[server.address]);
    assert_eq!(v4(&resolver.find("api.example").await), [IpAddr::from([192, 0, 2, 7])]);
    assert!(resolver.traffic.foreign.load(Relaxed) >= 3);
    assert_eq!(resolver.traffic.over_tcp.load(Relaxed), 0);
}

#[tokio::test]
async fn who_guesses_long_enough_is_left_for_tcp() {
    let server = serve(guessing, good).await;
    let resolver = resolver(&[server.address]);
    assert_eq!(v4(&resolver.find("api.example").await), [IpAddr::from([192, 0, 2, 7])]);
    assert_eq!(resolver.traffic.over_tcp.load(Relaxed), 2);
}

#[tokio::test]
async fn what_does_not_fit_is_asked_for_over_tcp() {
    let server = serve(truncated, good).await;
    let resolver = resolver(&[server.address]);
    assert_eq!(v4(&resolver.find("api.example").await), [IpAddr::from([192, 0, 2, 7])]);
    assert_eq!(resolver.traffic.over_tcp.load(Relaxed), 2);
}

#[tokio::test]
async fn the_next_server_is_asked_where_one_fails_is_silent_or_refuses() {
    let (dead, ill, well) =
        (serve(silent, silent).await, serve(failing, silent).await, serve(good, silent).await);
    let resolver = resolver(&[dead.address, ill.address, well.address]);
    assert_eq!(v4(&resolver.find("api.example").await), [IpAddr::from([192, 0, 2, 7])]);
}

#[tokio::test]
async fn no_such_name_and_no_answer_are_two_things() {
    let (gone, ill, dead) =
        (serve(missing, silent).await, serve(failing, silent).await, serve(silent, silent).await);
    let found = resolver(&[gone.address]).find("api.example").await;
    let ttl = Some(Duration::from_secs(15));
    assert_eq!(found.v4, Finding::Absent { exists: false, ttl });
    let found = resolver(&[ill.address]).find("api.example").await;
    assert_eq!(found, Findings::failed(Failure::ServerFailed));
    let found = resolver(&[dead.address]).find("api.example").await;
    assert_eq!(found, Findings::failed(Failure::Timeout));
}

#[tokio::test]
async fn aliases_without_end_are_given_up() {
    let server = serve(alias, silent).await;
    let found = resolver(&[server.address]).find("api.example").await;
    assert_eq!(found, Findings::failed(Failure::Chain));
}

#[tokio::test]
async fn the_hosts_file_comes_first_and_some_names_are_nobodys() {
    let server = serve(good, silent).await;
    let folder = tempfile::tempdir().unwrap();
    let (conf, hosts) = (folder.path().join("resolv.conf"), folder.path().join("hosts"));
    fs::write(&hosts, "192.0.2.99 api.example\n").unwrap();
    let settings = Dns { servers: vec![server.address], ..defaults::dns() };
    let resolver = Resolver::at(&settings, &conf, &hosts);
    assert_eq!(v4(&resolver.find("api.example").await), [IpAddr::from([192, 0, 2, 99])]);
    let here = [IpAddr::from([127, 0, 0, 1])];
    assert_eq!(v4(&resolver.find("ledger.localhost").await), here);
    let found = resolver.find("ledger.invalid").await;
    assert_eq!(found.v4, Finding::Absent { exists: false, ttl: None });
    assert_eq!(resolver.traffic.asked.load(Relaxed), 0);
}

#[tokio::test]
async fn a_short_name_is_searched_for_as_the_file_says() {
    let only_within = |query: &[u8]| {
        let within = query.windows(7).any(|bytes| bytes == b"example");
        if within { good(query) } else { missing(query) }
    };
    let server = serve(only_within, silent).await;
    let settings = Dns {
        servers: vec![server.address],
        search: vec!["elsewhere.test".to_owned(), "example".to_owned()],
        ..defaults::dns()
    };
    let nowhere = std::path::Path::new("/nonexistent");
    let resolver = Resolver::at(&settings, nowhere, nowhere);
    assert_eq!(v4(&resolver.find("api").await), [IpAddr::from([192, 0, 2, 7])]);
}
