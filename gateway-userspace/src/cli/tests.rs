//! Arguments and tables, as people and scripts meet them.

use clap::CommandFactory;

use super::*;
use crate::{
    clock::Wall,
    config::{self, defaults},
    control::{
        Allow, Ban, ConfigurationStatus, CookieStatus, Counter, DropRecord, InterfaceStatus,
        KernelStatus, Key, MapStatus, PolicyStatus, ProtectedStatus, ProxyStatus, RefusedReload,
        Status, StrikeRecord, SysctlStatus, Told, TrialStatus, Usage, Why,
    },
    doctor::{Finding, Report},
};

const NOW: Wall = Wall(1_800_000_000);

fn usage(arguments: &str) -> Result<Cli, i32> {
    let arguments = std::iter::once("gateway").chain(arguments.split_whitespace());
    Cli::try_parse_from(arguments).map_err(|error| error.exit_code())
}

#[test]
fn the_commands_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn takes_every_command() {
    for arguments in [
        "run",
        "run --config /c.toml --kernel off",
        "check",
        "check /c.toml",
        "status --output json",
        "doctor",
        "doctor --interface eth0 -i eth1 --config /c.toml --output json",
        "pipeline",
        "block add 192.0.2.1 --ttl 15m --note scan",
        "block add 2001:db8::/32",
        "block rm 192.0.2.1",
        "block list --output json",
        "block import - --ttl 7d",
        "block import list.txt",
        "block import list.txt --name drop --skip-invalid",
        "block lists --output json",
        "block unlist drop",
        "block export",
        "block why 192.0.2.1",
        "allow add 192.0.2.0/24",
        "allow rm 192.0.2.0/24",
        "allow list",
        "why 192.0.2.1",
        "why 0af7651916cd43dd8448eb211c80319c",
        "events",
        "events --follow --reason ban_host --reason packet_limit --source 192.0.2.0/24",
        "events --port 443 --interface eth0 --limit 1024 --output json",
        "events --pcap - --payload --for 30s",
        "events --pcap /tmp/x.pcapng --count 10",
        "key new --identity customers --client acme --ttl 90d",
        "key list",
        "key revoke abcdefghijkl",
        "panic pass",
        "panic restore",
        "reload",
        "diff",
        "diff /c.toml --output json",
        "upgrade",
        "completions bash",
        "man",
        "--socket /s status",
        "status --socket /s",
        "proxy-worker",
    ] {
        assert!(usage(arguments).is_ok(), "{arguments}");
    }
}

#[test]
fn wrong_usage_is_2_and_help_is_0() {
    for arguments in [
        "",
        "runn",
        "run --kernel maybe",
        "block",
        "block add",
        "block add example.com",
        "block add 192.0.2.7/24",
        "block add 192.0.2.1 --ttl 15",
        "block add 192.0.2.1 --ttl forever",
        "block why 192.0.2.0/24",
        "why a/b",
        "status --output xml",
        "events --reason passed",
        "events --payload",
        "events --limit 1025",
        "events --pcap - --count 0",
        "events --pcap - --output json",
        "panic",
        "completions tcsh",
        "status --log ==",
        "key new --identity customers",
    ] {
        assert_eq!(usage(arguments).map(|_| ()), Err(2), "{arguments}");
    }
    for arguments in ["--help", "block --help", "--version"] {
        assert_eq!(usage(arguments).map(|_| ()), Err(0), "{arguments}");
    }
}

#[test]
fn the_worker_is_not_advertised() {
    let help = Cli::command().render_long_help().to_string();
    assert!(!help.contains("proxy-worker"));
}

#[test]
fn a_prefix_with_host_bits_is_refused_with_the_right_one() {
    let error = Cli::try_parse_from(["gateway", "block", "add", "192.0.2.7/24"]).unwrap_err();
    assert!(error.to_string().contains("write 192.0.2.0/24"), "{error}");
}

fn ban() -> Ban {
    Ban {
        net: "203.0.113.9/32".parse().unwrap(),
        reason: "credential_unknown".to_owned(),
        source: "strike".to_owned(),
        since: NOW.0 - 90,
        left: Some(30),
        hits: 12_345,
        last_seen: Some(5),
        list: String::new(),
        note: "evil\u{1b}[2J".to_owned(),
    }
}

#[test]
fn shows_bans_allows_and_keys() {
    let forever = Ban { net: "2001:db8::/32".parse().unwrap(), left: None, ..ban() };
    insta::assert_snapshot!("bans", block::show(&[ban(), forever], NOW));
    let net = "10.0.0.0/8".parse().unwrap();
    let (source, note) = ("kernel.protect".to_owned(), String::new());
    insta::assert_snapshot!(
        "allows",
        allow::show(&[Allow { net, since: NOW.0, source, note }], NOW)
    );
    let key = |expires, revoked| Key {
        id: "abcdefghijkl".to_owned(),
        identity: "customers".to_owned(),
        client: "acme".to_owned(),
        since: NOW.0 - 86_400,
        expires,
        revoked,
    };
    let keys =
        [key(None, false), key(Some(NOW.0), false), key(Some(NOW.0 + 60), false), key(None, true)];
    insta::assert_snapshot!("keys", key::show(&keys, NOW));
}

#[test]
fn json_of_bans_is_stable() {
    insta::assert_snapshot!("bans_json", output::json(&[ban()]).unwrap());
}

#[test]
fn explains_an_address() {
    let why = Why {
        subject: "203.0.113.9".to_owned(),
        findings: vec!["banned for 30 s more, by strikes".to_owned()],
        ban: Some(ban()),
        strikes: vec![StrikeRecord {
            reason: "route_unknown".to_owned(),
            weight: 2,
            seconds_ago: 95,
        }],
        drops: vec![DropRecord {
            reason: "ban_host".to_owned(),
            protocol: 6,
            destination_port: Some(443),
            icmp: None,
            shadow: false,
            seconds_ago: 3,
        }],
        proxy: Told::default(),
    };
    insta::assert_snapshot!("why", why::show(&why, NOW));
}

#[test]
fn shows_findings_by_place_with_what_to_change() {
    let mut report = Report::default();
    report.add("machine", vec![Finding::note("kernel", "Linux 6.1, as it says")]);
    let taken = Finding::fail("xdp slot", "another program is attached: evil\u{1b}[2J")
        .change("ip link set dev eth0 xdp off");
    report.add("eth0", vec![taken, Finding::note("mtu", "1500")]);
    insta::assert_snapshot!("doctor", doctor::show(&report));
}

#[test]
fn what_the_proxy_says_is_read_or_shown_as_text_and_steers_no_terminal() {
    let evil = "\u{1b}]0;x\u{7}\u{9b}2J\u{202e}";
    let nested = "[".repeat(60_000);
    let refusals = format!("{{\"refusals\":[{}]}}", serde_json::to_string(evil).unwrap());
    for (said, readable) in [(refusals.as_str(), true), (evil, false), (&nested, false)] {
        let mut told = Told::Unread(said.to_owned());
        told.read();
        assert_eq!(matches!(told, Told::Read(_)), readable);
        let mut status = Status::default();
        status.proxy.detail = told.clone();
        let why = Why { proxy: told, ..Why::default() };
        for shown in [status::show(&status), why::show(&why, NOW), output::json(&why).unwrap()] {
            assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}']), "{shown:?}");
            assert_eq!(shown.contains("refusals"), readable);
        }
    }
}

#[test]
fn shows_the_status_with_warnings_first() {
    let status = Status {
        started_ns: 1,
        configuration: ConfigurationStatus {
            file: "/etc/gateway/gateway.toml".to_owned(),
            digest: "0a1b2c3d4e5f".to_owned(),
            seconds: 7200,
            reloads: 3,
            watched: true,
            refused: Some(RefusedReload {
                seconds_ago: 60,
                why: "/etc/gateway/gateway.toml:3:1: proxy.request is not a key\nmore".to_owned(),
            }),
        },
        version: "0.1.0".to_owned(),
        guard_pid: 41,
        uptime_seconds: 3700,
        policy: PolicyStatus {
            file: "/etc/gateway/gateway.toml".to_owned(),
            origin: "/etc/gateway/gateway.toml".to_owned(),
            digest: "0123456789ab".to_owned(),
            differs: false,
            trial: Some(TrialStatus {
                origin: "/etc/gateway/strict.toml".to_owned(),
                digest: "ba9876543210".to_owned(),
                seconds_left: 42,
            }),
        },
        protected: vec![ProtectedStatus {
            net: "192.0.2.7/32".parse().unwrap(),
            why: "alice is logged in from it".to_owned(),
            left: Some(590),
        }],
        kernel: a_kernel(),
        proxy: ProxyStatus {
            state: "serving".to_owned(),
            pid: 42,
            restarts: 0,
            detail: Told::default(),
        },
        bans: Usage { used: 2, capacity: 1_200_000, refused: 0 },
        strikes: Usage { used: 1, capacity: 100_000, refused: 0 },
        warnings: vec!["the clock went back".to_owned()],
    };
    insta::assert_snapshot!("status", status::show(&status));
    let off = Status::default();
    assert!(status::show(&off).contains("no packet is dropped"));
}

fn a_kernel() -> KernelStatus {
    KernelStatus {
        slot: "A".to_owned(),
        shadow: vec!["limits".to_owned()],
        enabled: true,
        mode: "enforce".to_owned(),
        layout: "v1".to_owned(),
        pins: "/sys/fs/bpf/gateway/v1".to_owned(),
        interfaces: vec![InterfaceStatus {
            name: "eth0".to_owned(),
            attached: "native".to_owned(),
            program_id: 7,
            egress: "seen".to_owned(),
            before_egress: Vec::new(),
            counters: Vec::new(),
        }],
        maps: vec![MapStatus {
            name: "BAN_HOSTS4".to_owned(),
            used: 2,
            capacity: 1_000_000,
            bytes: 64 << 20,
        }],
        counters: vec![Counter {
            reason: "ban_host".to_owned(),
            packets: 9,
            bytes: 540,
            shadow_packets: 0,
        }],
        memory_bytes: 80 << 20,
        events_lost: 0,
        syn_cookies: CookieStatus {
            state: "on".to_owned(),
            sysctls: vec![SysctlStatus {
                name: "net.ipv4.tcp_syncookies".to_owned(),
                value: 2,
                was: Some(1),
            }],
            problem: None,
        },
    }
}

#[test]
fn check_shows_which_routes_are_open_to_everybody() {
    let config = config::load(defaults::EMBEDDED, "t.toml").unwrap();
    insta::assert_snapshot!("check", check::show(&config, "t.toml"));
}

#[test]
fn check_warns_of_a_way_around_an_identity() {
    let guarded = "[[identity]]\nname = \"staff\"\napi_key = {}\n[[route]]\nname = \"admin\"\n\
                   path = \"/admin\"\nidentity = \"staff\"\nsupplier = \"echo\"\n";
    let config = config::load(&format!("{}{guarded}", defaults::EMBEDDED), "t.toml").unwrap();
    let shown = check::show(&config, "t.toml");
    let warning = shown.lines().find(|line| line.starts_with("warning: route admin")).unwrap();
    assert!(warning.contains("/admin/") && warning.contains("everything"), "{warning}");
}
