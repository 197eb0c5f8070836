use std::{vec, vec::Vec};

use proptest::prelude::*;

use super::{reply::PacketSpace, *};
use crate::{
    limit::{Cell, Limit},
    maps::{CookiePolicy, UNTIL_CELL},
    packet::{Source, parse},
    twin::{Sample, Twin, sample},
    verdict::decide as judge,
};

const SECOND: u64 = 1_000_000_000;
const NOW: u64 = 1_000 * SECOND;
const CLIENT: [u8; 4] = [192, 0, 2, 77];
const SERVER: [u8; 4] = [198, 51, 100, 1];

impl PacketSpace for Vec<u8> {
    fn write<const N: usize>(&mut self, offset: usize, bytes: &[u8; N]) -> bool {
        let Some(place) = self.get_mut(offset..offset + N) else { return false };
        place.copy_from_slice(bytes);
        true
    }
}

/// A hundred SYNs a second, a hundred at once; on for ten seconds.
fn guarded() -> Sample {
    sample().with(|policy| {
        policy.cookies = CookiePolicy {
            above: Limit::new(SECOND / 100, 100),
            most: Limit::new(SECOND / 1000, 1000),
            hold_ns: 10 * SECOND,
        };
    })
}

fn syn_packet() -> Packet {
    Packet { protocol: 6, tcp_flags: SYN, ..Packet::of(Source::V4(CLIENT)) }
}

fn action(twin: &Twin, sample: &Sample, now: u64) -> Action {
    judge(&syn_packet(), &sample.rules(), twin, now).action
}

/// Sends so many SYNs a second for a time; how many were to be answered.
fn send(twin: &Twin, sample: &Sample, per_second: u64, (from, to): (u64, u64)) -> u64 {
    let times = (from..to).step_by(usize::try_from(SECOND / per_second).unwrap());
    let answered = times.filter(|now| action(twin, sample, *now) == Action::Transmit);
    u64::try_from(answered.count()).unwrap()
}

#[test]
fn syns_below_the_rate_reach_the_stack() {
    let twin = Twin::new();
    assert_eq!(send(&twin, &guarded(), 95, (NOW, NOW + 60 * SECOND)), 0);
}

#[test]
fn syns_above_the_rate_are_answered_until_the_hold_is_over() {
    let (twin, sample) = (Twin::new(), guarded());
    let answered = send(&twin, &sample, 1000, (NOW, NOW + SECOND));
    assert!((850..=900).contains(&answered), "{answered} of 1000");
    let after = NOW + SECOND;
    // Below the rate, but within the hold.
    assert_eq!(send(&twin, &sample, 10, (after, after + 9 * SECOND)), 90);
    // The word was written by the last SYN above.
    assert_eq!(action(&twin, &sample, after + 11 * SECOND), Action::Pass);
    assert_eq!(send(&twin, &sample, 50, (after + 12 * SECOND, after + 30 * SECOND)), 0);
}

#[test]
fn without_a_hold_they_are_never_on() {
    let twin = Twin::new();
    let off = guarded().with(|policy| policy.cookies.hold_ns = 0);
    assert_eq!(send(&twin, &off, 10_000, (NOW, NOW + SECOND)), 0);
}

#[test]
fn a_word_left_by_a_longer_hold_is_none() {
    let (twin, sample) = (Twin::new(), guarded());
    let word = twin.syn_cell(UNTIL_CELL).unwrap();
    word.compare_exchange(0, NOW + 3600 * SECOND);
    assert_eq!(action(&twin, &sample, NOW), Action::Pass);
    assert!(send(&twin, &sample, 1000, (NOW, NOW + SECOND)) > 800);
    assert_eq!(action(&twin, &sample, NOW + 12 * SECOND), Action::Pass);
}

#[test]
fn only_syns_count_and_are_answered() {
    let (twin, sample) = (Twin::new(), guarded());
    for flags in [SYN | ACK, ACK, RST, FIN, SYN | RST, SYN | FIN, 0] {
        let packet = Packet { tcp_flags: flags, ..syn_packet() };
        let passed =
            (0..1000).all(|_| judge(&packet, &sample.rules(), &twin, NOW).action == Action::Pass);
        assert!(passed, "{flags:#x}");
    }
    assert_eq!(action(&twin, &sample, NOW), Action::Pass);
    send(&twin, &sample, 1000, (NOW, NOW + SECOND));
    // What TCP has added since is still a SYN: ECN asks with ECE and CWR (RFC 3168 section 6.1.1).
    let ecn = Packet { tcp_flags: SYN | 0xc0, ..syn_packet() };
    assert_eq!(judge(&ecn, &sample.rules(), &twin, NOW + SECOND).action, Action::Transmit);
}

#[test]
fn a_banned_source_gets_no_answer_and_an_allowed_one_the_stack() {
    let (mut twin, sample) = (Twin::new(), guarded());
    send(&twin, &sample, 1000, (NOW, NOW + SECOND));
    twin.ban4(CLIENT, 32, 0);
    let verdict = judge(&syn_packet(), &sample.rules(), &twin, NOW + SECOND);
    assert_eq!((verdict.action, verdict.reason()), (Action::Drop, Reason::BanHost));
    twin.put_allow4(CLIENT, 32);
    let verdict = judge(&syn_packet(), &sample.rules(), &twin, NOW + SECOND);
    assert_eq!((verdict.action, verdict.reason()), (Action::Pass, Reason::Allowed));
}

#[test]
fn an_allowed_source_over_a_limit_in_shadow_keeps_the_stack() {
    let (mut twin, mut sample) = (Twin::new(), guarded());
    send(&twin, &sample, 1000, (NOW, NOW + SECOND));
    twin.put_allow4(CLIENT, 32);
    sample.policy.allow = Limit::new(SECOND, 1);
    sample.settings.shadow = 1 << Reason::AllowLimit.number();
    for _ in 0..3 {
        let verdict = judge(&syn_packet(), &sample.rules(), &twin, NOW + SECOND);
        assert_eq!(verdict.action, Action::Pass);
    }
    let verdict = judge(&syn_packet(), &sample.rules(), &twin, NOW + SECOND);
    assert_eq!((verdict.reason(), verdict.shadow), (Reason::AllowLimit, true));
}

#[test]
fn shadow_counts_what_it_would_answer() {
    let (twin, mut sample) = (Twin::new(), guarded());
    sample.settings.shadow = 1 << Reason::SynCookie.number();
    send(&twin, &sample, 1000, (NOW, NOW + SECOND));
    let verdict = judge(&syn_packet(), &sample.rules(), &twin, NOW + SECOND);
    let expected =
        Verdict { action: Action::Pass, number: Reason::SynCookie.number(), shadow: true };
    assert_eq!(verdict, expected);
}

#[test]
fn answers_have_a_cap() {
    let (twin, sample) = (Twin::new(), guarded());
    let free = (0..3000).filter(|_| is_cap_free(&sample.rules(), &twin, NOW)).count();
    assert_eq!(free, 1000);
    assert!(is_cap_free(&sample.rules(), &twin, NOW + SECOND));
}

#[test]
fn an_unanswered_syn_is_dropped_only_for_what_is_wrong_with_it() {
    let sample = sample();
    for (reason, action) in [
        (Reason::SynStack, Action::Pass),
        (Reason::Passed, Action::Pass),
        (Reason::SynChecksum, Action::Drop),
        (Reason::SynData, Action::Drop),
        (Reason::SynCap, Action::Drop),
    ] {
        let verdict = unanswered(reason, &sample.rules());
        assert_eq!((verdict.action, verdict.reason(), verdict.shadow), (action, reason, false));
        let shadow = sample.with(|policy| policy.shadow = u64::MAX);
        assert_eq!(unanswered(reason, &shadow.rules()).action, Action::Pass);
    }
}

/// A SYN over IPv4 with these TCP options, checksums right.
fn syn4(options: &[u8], data: &[u8]) -> Vec<u8> {
    let mut tcp = vec![0xc3, 0x50, 1, 0xbb, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
    tcp.extend([u8::try_from(5 + options.len() / 4).unwrap() << 4, SYN, 0xff, 0xff, 0, 0, 0, 0]);
    tcp.extend(options);
    tcp.extend(data);
    let mut covered = [CLIENT, SERVER].concat();
    covered.extend([0, 6, 0, u8::try_from(tcp.len()).unwrap()]);
    covered.extend(&tcp);
    let sum = rfc1071(&covered);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    let total = u8::try_from(20 + tcp.len()).unwrap();
    let mut ip = vec![0x45, 0, 0, total, 0, 7, 0x40, 0, 64, 6, 0, 0];
    ip.extend([CLIENT, SERVER].concat());
    let sum = rfc1071(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0][..], &ip, &tcp].concat()
}

/// As the RFC has it: 16 bits at a time.
fn rfc1071(bytes: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from);
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}

fn read(frame: &[u8]) -> Result<Syn, Reason> {
    let mut syn = Syn::default();
    let packet = parse(frame);
    request::read(frame, (packet.network, packet.transport), &mut syn).map(|()| syn)
}

#[test]
fn a_plain_syn_is_read() {
    let syn = read(&syn4(&[2, 4, 5, 0xb4], &[])).unwrap();
    assert_eq!(syn.source[0], CLIENT);
    assert_eq!(syn.destination[0], SERVER);
    assert_eq!(syn.ports(), ([0xc3, 0x50], [1, 0xbb]));
    assert_eq!(syn.sequence(), u32::MAX);
    assert_eq!(syn.tcp_length(), 24);
    assert_eq!(syn.own_key()[10..], [0xff, 0xff, 198, 51, 100, 1]);
}

#[test]
fn any_flipped_bit_of_addresses_and_tcp_is_seen() {
    let good = syn4(&[2, 4, 5, 0xb4], &[]);
    for bit in 14 * 8..good.len() * 8 {
        let mut frame = good.clone();
        frame[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&frame).is_err(), "bit {bit}");
    }
}

#[test]
fn a_syn_with_data_is_refused_and_padding_is_none() {
    assert_eq!(read(&syn4(&[], b"GET / HTTP/1.1")).unwrap_err(), Reason::SynData);
    let mut padded = syn4(&[], &[]);
    padded.resize(60, 0xee);
    assert!(read(&padded).is_ok());
}

#[test]
fn what_is_not_one_host_to_one_host_is_the_stacks() {
    let mut group = syn4(&[], &[]);
    group[0] = 0xff;
    assert_eq!(read(&group).unwrap_err(), Reason::SynStack);
    let mut from_group = syn4(&[], &[]);
    from_group[6] = 1;
    assert_eq!(read(&from_group).unwrap_err(), Reason::SynStack);
    for source in [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 1], [255, 255, 255, 255], SERVER] {
        let mut frame = syn4(&[], &[]);
        frame[26..30].copy_from_slice(&source);
        frame[24..26].copy_from_slice(&[0, 0]);
        let sum = rfc1071(&frame[14..34]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(read(&frame).unwrap_err(), Reason::SynStack, "{source:?}");
    }
}

fn header(options: &[u8]) -> Syn {
    read(&syn4(options, &[])).unwrap()
}

fn options(syn: &Syn) -> Options {
    let mut options = Options::default();
    options.read(syn);
    options
}

fn offered(syn: &Syn) -> (Option<u32>, Option<u8>, bool) {
    let options = options(syn);
    (options.timestamp(), options.scale(), options.sack())
}

#[test]
fn options_of_common_systems_are_read() {
    // Linux; Windows with SACK last; a BSD with its padding before and an end behind.
    let stamp = [8, 10, 1, 2, 3, 4, 0, 0, 0, 0];
    let linux = [&[2, 4, 5, 0xb4, 4, 2], &stamp[..], &[1, 3, 3, 7]].concat();
    let windows = [2, 4, 5, 0xb4, 1, 3, 3, 8, 1, 1, 4, 2];
    let bsd = [&[2, 4, 5, 0xb4, 1, 3, 3, 6, 1, 1], &stamp[..], &[4, 2, 0, 0]].concat();
    let timestamp = Some(0x0102_0304);
    let expected = [
        (linux, (timestamp, Some(7), true)),
        (windows.to_vec(), (None, Some(8), true)),
        (bsd, (timestamp, Some(6), true)),
        (vec![1, 1, 1, 0], (None, None, false)),
        (Vec::new(), (None, None, false)),
        // A scale past the largest, as RFC 7323 section 2.3 reads it.
        (vec![3, 3, 200, 0], (None, Some(14), false)),
    ];
    for (options, expected) in expected {
        assert_eq!(offered(&header(&options)), expected, "{options:x?}");
    }
}

#[test]
fn nothing_behind_a_malformed_option_is_read() {
    for options in [[4, 0, 4, 2], [4, 1, 4, 2], [8, 40, 4, 2], [99, 5, 4, 2]] {
        assert_eq!(offered(&header(&options)), (None, None, false), "{options:?}");
    }
}

/// As Linux's `cookie_timestamp_decode` reads an echoed timestamp: scale and SACK.
fn decoded(echoed: u32) -> (Option<u8>, bool) {
    let scale = u8::try_from(echoed & 0xf).unwrap();
    ((scale != 0xf).then_some(scale), echoed & 0x10 != 0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn a_stamp_brings_the_clients_options_back_and_is_not_from_the_future(
        scale in proptest::option::of(0_u8..=14),
        sack in any::<bool>(),
        echo in any::<u32>(),
        now_ms in 64_u64..1 << 40,
    ) {
        let [e3, e2, e1, e0] = echo.to_be_bytes();
        let window = scale.map_or([1; 4], |scale| [1, 3, 3, scale]);
        let first = if sack { [4, 2, 8, 10] } else { [1, 1, 8, 10] };
        let offered = [first, [e3, e2, e1, e0], [0; 4], window].concat();
        let stamp = Stamp::answering(&options(&header(&offered)), 7, now_ms).unwrap();
        prop_assert_eq!(decoded(stamp.value), (scale, sack));
        prop_assert_eq!((stamp.echo, stamp.sack), (echo, sack));
        prop_assert_eq!(stamp.scale, scale.map(|_| 7));
        // Behind the clock by 63 ms at most: the stack forgives that, not a step ahead.
        let low = u32::try_from(now_ms & u64::from(u32::MAX)).unwrap();
        prop_assert!(low.wrapping_sub(stamp.value) < 128);
        prop_assert_eq!(Stamp::answering(&options(&header(&window)), 7, now_ms), None);
    }

    #[test]
    fn the_sum_is_that_of_the_rfc(words in proptest::collection::vec(any::<[u8; 4]>(), 0..20)) {
        let bytes: Vec<u8> = words.iter().flatten().copied().collect();
        let ours = checksum::complement(checksum::add(0, &words));
        // All ones and all zeros are the same number here.
        prop_assert_eq!(ours % 0xffff, rfc1071(&bytes) % 0xffff);
    }

    #[test]
    fn any_options_are_survived(options in proptest::collection::vec(any::<[u8; 4]>(), 0..=10)) {
        let options: Vec<u8> = options.into_iter().flatten().collect();
        let frame = syn4(&options, &[]);
        let syn = read(&frame).unwrap();
        let mut offers = Options::default();
        offers.read(&syn);
        let stamp = Stamp::answering(&offers, 7, 1 << 30);
        let mut answer = SynAck::default();
        answer.answer(&syn, 0x1234_5678, 1460, stamp.as_ref());
        let mut answered = frame.clone();
        answered.resize(answer.frame_length(&syn, frame.len()), 0);
        prop_assert!(answer.write(&syn, &mut answered));
        // One frame for one, and hardly longer: no use for an amplifier.
        prop_assert!(answered.len() <= frame.len().max(60) + 20);
        let packet = parse(answered.as_slice());
        prop_assert_eq!((packet.findings.is_empty(), packet.tcp_flags), (true, SYN | ACK));
        let sum = read(&answered);
        prop_assert!(sum.is_ok(), "{:?}", sum);
    }
}
