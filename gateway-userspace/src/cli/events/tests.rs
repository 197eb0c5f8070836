use super::*;
use crate::{
    cli::client::tests::guard,
    sampled::{Icmp, Ports, Sampled},
};

fn sampled(number: u64) -> Sampled {
    Sampled {
        at_ns: 1_800_000_000_000_000_000 + number,
        reason: "ban_host".to_owned(),
        shadow: false,
        interface: "eth0".to_owned(),
        source: Some([192, 0, 2, 1].into()),
        destination: Some([10, 0, 0, 1].into()),
        protocol: 6,
        ports: Some(Ports { source: 40_000, destination: 443 }),
        icmp: None,
        tcp_flags: Some(2),
        ether_type: 0x0800,
        frame_length: 74,
        header_length: 54,
        bytes: "55".repeat(54),
    }
}

fn kinds() -> Vec<Sampled> {
    let echo = Sampled {
        protocol: 1,
        ports: None,
        icmp: Some(Icmp { kind: 8, code: 0 }),
        tcp_flags: None,
        shadow: true,
        ..sampled(1)
    };
    let strange = Sampled {
        source: None,
        destination: None,
        ports: None,
        tcp_flags: None,
        ether_type: 0x88b5,
        interface: "evil\u{1b}[2J".to_owned(),
        ..sampled(2)
    };
    let v6 = Sampled { source: Some("2001:db8::1".parse().unwrap()), ..sampled(3) };
    vec![sampled(0), echo, strange, v6]
}

fn line(numbers: std::ops::Range<u64>, lost: u64) -> String {
    let portion = Portion { drops: numbers.map(sampled).collect(), lost };
    serde_json::to_string(&Response::Events(portion)).unwrap() + "\n"
}

#[test]
fn shows_drops_of_every_kind() {
    let drops = kinds();
    let shown = show::table(&show::shown(&drops));
    assert!(!shown.contains('\u{1b}'));
    insta::assert_snapshot!("events", shown);
}

#[test]
fn json_has_the_time_and_every_field() {
    let drops = kinds();
    let json = crate::cli::output::json(show::shown(&drops).as_slice()).unwrap();
    let read: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(read[0]["time"], "2027-01-15T08:00:00.000Z");
    assert_eq!(read[0]["ports"]["destination"], 443);
    assert_eq!(read[1]["icmp"]["kind"], 8);
    assert_eq!(read[2].get("source"), None);
}

fn live(socket: &std::path::Path, time: Option<Duration>, count: Option<u64>) -> Live {
    let mut client = Client::connect(socket).unwrap();
    let first = portion(client.ask(&Request::Events(Query::default())).unwrap()).unwrap();
    Live { client, first: Some(first), until: Until::new(time, count) }
}

fn all(mut live: Live) -> (usize, u64) {
    let (mut drops, mut lost) = (0, 0);
    while let Some(portion) = live.next().unwrap() {
        drops += portion.drops.len();
        lost = portion.lost;
    }
    (drops, lost)
}

#[test]
fn ends_with_the_count_asked_for_though_more_came() {
    let text = line(0..3, 0) + &line(3..9, 5);
    let (_folder, socket, _serving) = guard(&[&text]);
    assert_eq!(all(live(&socket, None, Some(7))), (7, 5));
}

#[test]
fn ends_when_the_time_is_over_though_nothing_came() {
    let (_folder, socket, serving) = guard(&[&line(0..1, 0), "never asked for"]);
    let live = live(&socket, Some(Duration::from_millis(50)), None);
    assert!(!serving.is_finished());
    assert_eq!(all(live).0, 1);
}

#[test]
fn a_guard_that_hangs_up_is_an_error() {
    let (_folder, socket, serving) = guard(&[&line(0..1, 0)]);
    let mut live = live(&socket, None, None);
    serving.join().unwrap();
    live.next().unwrap();
    assert!(live.next().is_err());
}

/// Blocks by their kind, as a reader that knows the format and not our writer takes them apart.
fn blocks(file: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let (mut at, mut blocks) = (0, Vec::new());
    while at < file.len() {
        let length = usize::try_from(word(at + 4)).unwrap();
        assert_eq!(length % 4, 0);
        assert_eq!(word(at + length - 4), word(at + 4), "both lengths agree");
        blocks.push((word(at), file[at + 8..at + length - 4].to_vec()));
        at += length;
    }
    blocks
}

#[test]
fn a_capture_has_an_interface_block_before_the_first_packet_of_each() {
    let mut capture = pcapng::Capture::default();
    let mut file = pcapng::Capture::begin();
    let other = Sampled { interface: "eth1".to_owned(), ..sampled(0) };
    for drop in [sampled(0), other.clone(), sampled(1), other] {
        file.extend(capture.packet(&drop));
    }
    let blocks = blocks(&file);
    let kinds: Vec<u32> = blocks.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [0x0A0D_0D0A, 1, 6, 1, 6, 6, 6]);
    let numbers: Vec<u8> =
        blocks.iter().filter(|(kind, _)| *kind == 6).map(|(_, body)| body[0]).collect();
    assert_eq!(numbers, [0, 1, 0, 1]);
}

#[test]
fn a_packet_has_its_time_its_lengths_and_its_reason() {
    let mut capture = pcapng::Capture::default();
    let (_, body) = blocks(&capture.packet(&sampled(7))).pop().unwrap();
    let word = |at: usize| u64::from(u32::from_le_bytes(body[at..at + 4].try_into().unwrap()));
    assert_eq!(word(4) << 32 | word(8), 1_800_000_000_000_000_007);
    assert_eq!((word(12), word(16)), (54, 74));
    assert_eq!(&body[20..74], [0x55; 54]);
    assert!(body.windows(17).any(|text| text == b"dropped: ban_host"));
}

#[test]
fn a_file_that_exists_or_is_a_link_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("a"), folder.path().join("b"));
    std::fs::write(&file, "mine").unwrap();
    std::os::unix::fs::symlink(folder.path().join("c"), &link).unwrap();
    assert!(capture::open(&file).is_err());
    assert!(capture::open(&link).is_err());
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    assert!(!folder.path().join("c").exists());
}
