//! What an operator and an attacker would see.

use std::{fs, net::TcpListener, time::Duration};

use gateway_userspace::control::{Ban, Request, Response, Told};
use ipnet::IpNet;
use nix::sys::signal::Signal;

use crate::setup::{Gateway, is_root, process_name, signal, wait};

type Case = (&'static str, fn());

/// All cases, in the order they run.
pub(crate) const ALL: &[Case] = &[
    ("the_proxy_serves_without_privileges", the_proxy_serves_without_privileges),
    ("the_proxy_cannot_use_the_control_socket", the_proxy_cannot_use_the_control_socket),
    ("bans_are_kept_over_a_restart", bans_are_kept_over_a_restart),
    ("bans_are_kept_over_kill_9", bans_are_kept_over_kill_9),
    ("strikes_ban_and_trust_spares", strikes_ban_and_trust_spares),
    ("keys_reach_the_proxy", keys_reach_the_proxy),
    ("a_killed_proxy_is_replaced_and_no_connection_is_lost", a_killed_proxy_is_replaced),
    ("a_malformed_frame_ends_that_proxy", a_malformed_frame_ends_that_proxy),
    ("a_serving_proxy_outlives_its_guard_and_is_adopted", a_serving_proxy_is_adopted),
    ("another_configuration_gets_another_proxy_on_the_same_sockets", another_configuration),
    ("another_program_gets_another_proxy_on_the_same_sockets", another_program),
    ("renewed_certificates_reach_the_serving_proxy", renewed_certificates),
    ("a_broken_certificate_leaves_the_last_good_one_for_the_next_proxy", broken_certificate),
    ("a_lost_certificate_leaves_the_serving_proxy_alone", a_lost_certificate),
    ("a_proxy_killed_after_its_guard_is_not_waited_for_in_vain", both_killed),
    ("a_stopped_guard_drains", a_stopped_guard_drains),
    ("a_second_guard_is_refused", a_second_guard_is_refused),
    ("a_port_in_use_is_named", a_port_in_use_is_named),
    ("a_corrupt_store_is_named", a_corrupt_store_is_named),
    ("a_proxy_that_never_serves_ends_the_start", a_hopeless_proxy),
    ("nonsense_of_the_proxy_is_handed_on_unread", nonsense_of_the_proxy_is_handed_on_unread),
    ("nonsense_on_the_control_socket_is_refused", nonsense_is_refused),
];

fn the_proxy_serves_without_privileges() {
    let gateway = started();
    let pid = gateway.visit().unwrap();
    assert_eq!(pid, gateway.proxy_pid());
    assert_eq!(process_name(pid).as_deref(), Some("gateway-proxy"));

    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| -> Vec<String> {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().skip(1).map(str::to_owned).collect()
    };
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(field(set), ["0000000000000000"], "{set}");
    }
    assert_eq!(field("NoNewPrivs:"), ["1"]);
    assert_eq!(field("Seccomp:"), ["2"]);
    if is_root() {
        assert_eq!(field("CapBnd:"), ["0000000000000000"]);
        assert_eq!(field("Uid:"), ["65534"; 4]);
        assert_eq!(field("Gid:"), ["65534"; 4]);
        assert!(field("Groups:").is_empty());
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
        assert!(environment.is_empty());
    }
}

fn the_proxy_cannot_use_the_control_socket() {
    let gateway = started();
    assert_eq!(order(&gateway, "control"), serde_json::Value::Bool(false));
}

fn bans_are_kept_over_a_restart() {
    let mut gateway = started();
    block(&gateway, "198.18.0.0/15", None);
    block(&gateway, "2001:db8::/48", Some(3600));
    block(&gateway, "198.51.100.1/32", Some(1));
    assert!(matches!(block(&gateway, "10.20.3.0/24", None), Response::Refused { message }
        if message.contains("kernel.protect")));
    assert!(gateway.stop());
    gateway.start();
    let gone = || bans(&gateway).iter().all(|ban| ban.net != net("198.51.100.1/32")).then_some(());
    wait("the short ban is over", gone);

    let nets: Vec<IpNet> = bans(&gateway).iter().map(|ban| ban.net).collect();
    assert_eq!(nets, [net("198.18.0.0/15"), net("2001:db8::/48")]);
    let left = bans(&gateway)[1].left.unwrap();
    assert!((3500..=3600).contains(&left), "{left}");
}

fn bans_are_kept_over_kill_9() {
    let mut gateway = started();
    block(&gateway, "198.18.0.0/15", None);
    gateway.kill_guard();
    gateway.start();
    assert_eq!(bans(&gateway).len(), 1);
    let removed = gateway.ask(&Request::BlockRemove { net: net("198.18.0.0/15") });
    assert!(matches!(removed, Response::Done { .. }));
    gateway.kill_guard();
    gateway.start();
    assert!(bans(&gateway).is_empty());
}

fn strikes_ban_and_trust_spares() {
    let gateway = started();
    order(&gateway, "trust 198.18.0.9");
    for source in ["198.18.0.1", "198.18.0.9", "127.0.0.1", "10.20.0.1"] {
        order(&gateway, &format!("strike {source}"));
    }
    let bans = bans(&gateway);
    assert_eq!(bans.len(), 1, "{bans:?}");
    assert_eq!((bans[0].net, bans[0].source.as_str()), (net("198.18.0.1/32"), "strike"));
    assert_eq!(bans[0].reason, "credential_unknown");

    let Response::Why(why) =
        gateway.ask(&Request::WhyAddress { address: "198.18.0.1".parse().unwrap() })
    else {
        panic!("no answer to why");
    };
    // Decisive first: without a kernel the ban stands on the list alone.
    assert!(why.findings[0].contains("filter is off"), "{:?}", why.findings);
    assert!(why.findings[1].contains("198.18.0.1/32 is banned"), "{:?}", why.findings);
    assert_eq!(why.strikes.len(), 10);
}

fn keys_reach_the_proxy() {
    let mut gateway = started();
    let identity = "customers".to_owned();
    let new = Request::KeyNew { identity, client: "shop".to_owned(), ttl: None };
    let Response::KeyCreated { id, key } = gateway.ask(&new) else { panic!("no key") };
    assert!(key.starts_with(&format!("gwk_{id}_")));
    assert_eq!(keys_of_the_proxy(&gateway), 1);
    let store = fs::read(gateway.store()).unwrap();
    let secret = key.rsplit('_').next().unwrap().as_bytes();
    assert!(!store.windows(secret.len()).any(|window| window == secret), "the key is stored");

    assert!(matches!(gateway.ask(&Request::KeyRevoke { id }), Response::Done { .. }));
    assert!(gateway.stop());
    gateway.start();
    assert_eq!(keys_of_the_proxy(&gateway), 1);
    let Response::Keys { keys, .. } = gateway.ask(&Request::KeyList { after: None }) else {
        panic!("no keys")
    };
    assert!(keys[0].revoked);
}

fn a_killed_proxy_is_replaced() {
    let gateway = started();
    for _ in 0..3 {
        let first = gateway.proxy_pid();
        signal(first, Signal::SIGKILL);
        // In the queue of a socket that nobody accepts from at the moment.
        let second = gateway.visit().unwrap();
        assert_ne!(first, second);
        wait("the next proxy is known", || (gateway_serves(&gateway, second)).then_some(()));
    }
    assert_eq!(gateway.status().proxy.restarts, 3);
}

fn a_malformed_frame_ends_that_proxy() {
    let gateway = started();
    let first = gateway.proxy_pid();
    order(&gateway, "garbage");
    wait("another proxy serves", || {
        gateway.visit().ok().filter(|pid| *pid != first && gateway_serves(&gateway, *pid))
    });
    assert_eq!(process_name(first), None);
}

fn a_serving_proxy_is_adopted() {
    let mut gateway = started();
    block(&gateway, "198.18.0.0/15", None);
    let first = gateway.proxy_pid();
    gateway.kill_guard();
    assert_eq!(gateway.visit().unwrap(), first);
    gateway.start();
    assert_eq!(gateway.proxy_pid(), first);
    assert_eq!(gateway.visit().unwrap(), first);
    assert_eq!(bans(&gateway).len(), 1);

    signal(first, Signal::SIGKILL);
    assert_ne!(gateway.visit().unwrap(), first);
}

fn another_configuration() {
    replaced_after(|gateway| gateway.configure("another"));
}

fn another_program() {
    replaced_after(Gateway::upgrade);
}

fn renewed_certificates() {
    let mut gateway = started();
    let first = gateway.proxy_pid();
    gateway.renew_certificate("second");
    wait_for_certificate(&gateway, "second");
    gateway.renew_certificate("third");
    let answer = gateway.ask(&Request::Renew);
    assert!(matches!(answer, Response::Done { .. }), "{answer:?}");
    assert_eq!(certificate(&gateway).unwrap(), "third");
    gateway.kill_guard();
    gateway.renew_certificate("fourth");
    gateway.start();
    wait_for_certificate(&gateway, "fourth");
    assert_eq!(gateway.proxy_pid(), first);
}

fn broken_certificate() {
    let gateway = started();
    let first = gateway.proxy_pid();
    gateway.renew_certificate("good");
    wait_for_certificate(&gateway, "good");
    gateway.renew_certificate("broken");
    let answer = gateway.ask(&Request::Renew);
    let Response::Refused { message } = answer else { panic!("{answer:?}") };
    assert!(message.contains("edge.pem") && !message.contains("it is broken"), "{message}");
    signal(first, Signal::SIGKILL);
    wait("another proxy serves", || gateway.serving().filter(|status| status.proxy.pid != first));
    wait_for_certificate(&gateway, "good");
}

fn certificate(gateway: &Gateway) -> Option<String> {
    let Told::Unread(text) = gateway.serving()?.proxy.detail else { return None };
    let detail: serde_json::Value = serde_json::from_str(&text).ok()?;
    Some(detail["certificate"].as_str()?.to_owned())
}

fn wait_for_certificate(gateway: &Gateway, content: &str) {
    wait("the proxy serves the certificate", || {
        (certificate(gateway).as_deref() == Some(content)).then_some(())
    });
}

fn a_lost_certificate() {
    let mut gateway = started();
    let first = gateway.proxy_pid();
    gateway.kill_guard();
    gateway.lose_certificate();
    gateway.start();
    assert_eq!(gateway.proxy_pid(), first);
    assert_eq!(gateway.visit().unwrap(), first);
    let warnings = gateway.status().warnings;
    assert!(warnings.iter().any(|warning| warning.contains("edge.pem")), "{warnings:?}");
}

fn replaced_after(change: fn(&mut Gateway)) {
    let mut gateway = started();
    let first = gateway.proxy_pid();
    gateway.kill_guard();
    change(&mut gateway);
    gateway.start();
    let second = gateway.proxy_pid();
    assert_ne!(first, second);
    wait("the earlier proxy is gone", || process_name(first).is_none().then_some(()));
    assert_eq!(gateway.visit().unwrap(), second);
}

fn both_killed() {
    let mut gateway = started();
    let first = gateway.proxy_pid();
    gateway.kill_guard();
    signal(first, Signal::SIGKILL);
    gateway.start();
    assert_ne!(gateway.visit().unwrap(), first);
}

fn a_stopped_guard_drains() {
    let mut gateway = started();
    let pid = gateway.proxy_pid();
    assert!(gateway.stop());
    assert_eq!(process_name(pid), None);
    assert!(gateway.visit().is_err());
    assert!(!gateway.run().join("proxy.pid").exists());
}

fn a_second_guard_is_refused() {
    let gateway = started();
    let said = gateway.start_in_vain();
    assert!(
        said.contains("already running") && said.contains(&gateway.guard_pid().to_string()),
        "{said}"
    );
    gateway.visit().unwrap();
}

fn a_port_in_use_is_named() {
    let gateway = Gateway::new();
    let _taken = TcpListener::bind(gateway.address).unwrap();
    let said = gateway.start_in_vain();
    assert!(said.contains("in use") && said.contains(&gateway.address.to_string()), "{said}");
}

fn a_corrupt_store_is_named() {
    let mut gateway = started();
    assert!(gateway.stop());
    fs::write(gateway.store(), "these are not the bans you are looking for").unwrap();
    let said = gateway.start_in_vain();
    assert!(said.contains("starting the store"), "{said}");
}

fn a_hopeless_proxy() {
    let gateway = Gateway::new();
    gateway.configure("hopeless");
    let said = gateway.start_in_vain();
    assert!(said.contains("the proxy did not start"), "{said}");
}

fn nonsense_of_the_proxy_is_handed_on_unread() {
    let gateway = started();
    let request = Request::WhyRequest { id: "nonsense".to_owned() };
    let Response::Why(why) = gateway.ask(&request) else { panic!("no answer to why") };
    assert_eq!(why.proxy, Told::Unread(crate::proxy::NONSENSE.to_owned()));
    assert!(gateway_serves(&gateway, gateway.proxy_pid()));
}

fn nonsense_is_refused() {
    let gateway = started();
    for line in
        ["", "nonsense", "{}", r#"{"command":"reboot"}"#, r#"{"command":"block_add"}"#, "\u{0}"]
    {
        let answer = gateway.try_ask(line);
        assert!(matches!(answer, Some(Response::Refused { .. })), "{line:?}: {answer:?}");
    }
    gateway.visit().unwrap();
}

fn started() -> Gateway {
    let mut gateway = Gateway::new();
    gateway.start();
    gateway
}

fn gateway_serves(gateway: &Gateway, pid: u32) -> bool {
    let status = gateway.try_ask(r#"{"command":"status"}"#);
    matches!(status, Some(Response::Status(status))
        if status.proxy.pid == pid && status.proxy.state == "serving")
}

/// Lets the proxy do something.
fn order(gateway: &Gateway, order: &str) -> serde_json::Value {
    match gateway.ask(&Request::WhyRequest { id: order.to_owned() }) {
        Response::Why(why) => read(why.proxy),
        other => panic!("{other:?}"),
    }
}

fn read(mut told: Told) -> serde_json::Value {
    told.read();
    match told {
        Told::Read(value) => value,
        Told::Unread(text) => serde_json::Value::String(text),
    }
}

fn keys_of_the_proxy(gateway: &Gateway) -> serde_json::Value {
    read(gateway.status().proxy.detail)["keys"].clone()
}

fn block(gateway: &Gateway, net: &str, seconds: Option<u64>) -> Response {
    let ttl = seconds.map(Duration::from_secs);
    gateway.ask(&Request::BlockAdd { net: net.parse().unwrap(), ttl, note: "test".to_owned() })
}

fn bans(gateway: &Gateway) -> Vec<Ban> {
    match gateway.ask(&Request::BlockList { after: None }) {
        Response::Bans { bans, .. } => bans,
        other => panic!("{other:?}"),
    }
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}
