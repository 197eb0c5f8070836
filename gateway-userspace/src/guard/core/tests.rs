use std::net::IpAddr;

use ipnet::IpNet;
use tokio::sync::mpsc;

use super::*;
use crate::{
    config::{
        KernelTable,
        model::{Host, Protocol, Supplier, SupplierKind, Target},
    },
    control::{Request, Response},
    guard::{
        control::{Ask, Outcome},
        kernel::Off,
        policy::Named,
        testing,
    },
};

#[test]
fn a_command_is_answered_when_the_kernel_holds_it_and_durable_when_the_disk_does() {
    let (folder, mut core) = core();
    let Outcome::Stored(response, durable) = ask(&mut core, add("192.0.2.1/32", None)) else {
        panic!("a ban is not waited for");
    };
    assert!(matches!(response, Response::Done { .. }));
    durable.blocking_recv().unwrap().unwrap();
    drop(core);
    let (_store, stored) = Store::open(folder.path()).unwrap();
    assert_eq!(stored.bans.len(), 1);
}

/// Waits for what another thread does.
fn later(outcome: Outcome) -> Response {
    let Outcome::Later(answer) = outcome else { panic!("{outcome:?}") };
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(answer)
}

fn import(core: &mut Core, name: &str, nets: &[IpNet], skip_invalid: bool) -> Response {
    let begin = Request::ImportBegin {
        name: name.to_owned(),
        ttl: None,
        // The longest that JSON makes of a byte.
        note: "\u{1}".repeat(256),
        skip_invalid,
    };
    let Outcome::Now(Response::Staged { ticket }) = ask(core, begin) else { panic!("no ticket") };
    for part in nets.chunks(crate::control::IMPORT_PORTION) {
        let part = Request::ImportPart { ticket, nets: part.to_vec() };
        assert!(matches!(ask(core, part), Outcome::Now(Response::Staged { .. })));
    }
    later(ask(core, Request::ImportCommit { ticket }))
}

fn listed(core: &mut Core) -> Vec<crate::control::Ban> {
    let mut seen: Vec<crate::control::Ban> = Vec::new();
    loop {
        let after = seen.last().map(|ban| ban.net);
        let Outcome::Now(response) = ask(core, Request::BlockList { after }) else {
            panic!("no list");
        };
        let line = serde_json::to_vec(&response).unwrap();
        assert!(line.len() < crate::control::LINE_BYTES, "{} bytes", line.len());
        let Response::Bans { bans, more } = response else { panic!("no list") };
        seen.extend(bans);
        if !more {
            return seen;
        }
    }
}

#[test]
fn a_long_list_comes_in_portions_that_fit_and_lose_nothing() {
    let (_folder, mut core) = core_with(|config| config.kernel.capacity.hosts = 20_000);
    let nets: Vec<IpNet> =
        (0..10_000_u32).map(|n| IpAddr::from((0xC612_0000 + 2 * n).to_be_bytes()).into()).collect();
    assert!(matches!(import(&mut core, "a", &nets, false), Response::Imported { .. }));
    assert!(matches!(import(&mut core, "b", &nets[2000..3000], false), Response::Imported { .. }));
    ask(&mut core, Request::BlockAdd { net: nets[2500], ttl: None, note: String::new() });
    let seen = listed(&mut core);
    let mut expected = [&nets[..], &nets[2000..3000], &nets[2500..2501]].concat();
    expected.sort();
    assert_eq!(seen.iter().map(|ban| ban.net).collect::<Vec<_>>(), expected);
    let of = |list: &str| seen.iter().filter(|ban| ban.list == list).count();
    assert_eq!((of("a"), of("b"), of("")), (10_000, 1000, 1));
}

#[test]
fn allows_and_keys_come_in_portions_that_fit_and_lose_nothing() {
    const MANY: usize = 5_000;
    let (_folder, mut core) = core_with(|config| {
        config.kernel.capacity.allow = 10_000;
        config.kernel.protect = vec![net("10.20.0.0/16"), net("203.0.113.0/24")];
        config.identities = vec![crate::config::model::Identity {
            name: "customers".to_owned(),
            method: crate::config::model::IdentityMethod::ApiKey { header: "x".to_owned() },
        }];
    });
    let mut nets = core.config.kernel.protect.clone();
    for number in 0..MANY {
        let net = IpAddr::from((0xC612_0000 + u32::try_from(number).unwrap()).to_be_bytes()).into();
        nets.push(net);
        // The longest that JSON makes of a byte.
        let allow = crate::guard::allows::Allow { since: Wall(1), note: "\u{1}".repeat(256) };
        core.allows.add(&mut *core.kernel.0, net, allow).unwrap();
        core.keys.create("customers", &"\"".repeat(128), None, Wall(1)).unwrap();
    }
    nets.sort();
    let mut seen = Vec::new();
    let mut more = true;
    while more {
        let after = seen.last().copied();
        let answer = fitting(&mut core, Request::AllowList { after });
        let Response::Allows { allows, more: others } = answer else { panic!("no list") };
        seen.extend(allows.iter().map(|allow| allow.net));
        more = others;
    }
    assert_eq!(seen, nets);
    let mut ids: Vec<String> = Vec::new();
    more = true;
    while more {
        let after = ids.last().cloned();
        let answer = fitting(&mut core, Request::KeyList { after });
        let Response::Keys { keys, more: others } = answer else { panic!("no list") };
        ids.extend(keys.into_iter().map(|key| key.id));
        more = others;
    }
    assert!(ids.is_sorted() && ids.len() == MANY, "{}", ids.len());
}

/// An answer that fits a line of the control socket.
fn fitting(core: &mut Core, request: Request) -> Response {
    let Outcome::Now(response) = ask(core, request) else { panic!("no list") };
    let line = serde_json::to_vec(&response).unwrap();
    assert!(line.len() < crate::control::LINE_BYTES, "{} bytes", line.len());
    response
}

#[test]
fn a_list_is_loaded_whole_or_not_at_all() {
    let (_folder, mut core) = core();
    let good = vec![net("192.0.2.1/32"), net("198.51.100.0/24")];
    assert!(matches!(
        import(&mut core, "drop", &good, false),
        Response::Imported { entries: 2, .. }
    ));
    let bad = vec![net("203.0.113.1/32"), net("127.0.0.0/8")];
    let Response::Unfit { refused, untold: 0 } = import(&mut core, "drop", &bad, false) else {
        panic!("taken");
    };
    assert_eq!(refused[0].net, net("127.0.0.0/8"));
    assert!(refused[0].why.contains("loopback"), "{}", refused[0].why);
    assert_eq!(listed(&mut core).iter().map(|ban| ban.net).collect::<Vec<_>>(), good);
    let Response::Imported { given: 2, entries: 1, refused, .. } =
        import(&mut core, "drop", &bad, true)
    else {
        panic!("not taken");
    };
    assert_eq!(refused.len(), 1);
    assert_eq!(listed(&mut core)[0].net, bad[0]);
}

#[test]
fn an_address_of_a_list_can_be_lifted_and_the_list_taken_away() {
    let (folder, mut core) = core();
    import(&mut core, "drop", &[net("192.0.2.0/30")], false);
    let lifted = later(ask(&mut core, Request::BlockRemove { net: net("192.0.2.1/32") }));
    assert!(matches!(&lifted, Response::Done { message } if message.contains("allow add")));
    let left: Vec<IpNet> = listed(&mut core).iter().map(|ban| ban.net).collect();
    assert_eq!(left, [net("192.0.2.0/32"), net("192.0.2.2/31")]);
    let why = core.why_address([192, 0, 2, 2].into());
    assert_eq!(why.ban.unwrap().list, "drop");
    assert!(why.findings.iter().any(|finding| finding.contains("list drop")), "{:?}", why.findings);
    assert_eq!(ListFolder::open(folder.path()).unwrap().1["drop"].nets.len(), 2);
    later(ask(&mut core, Request::ListRemove { name: "drop".to_owned() }));
    assert!(listed(&mut core).is_empty());
    assert!(ListFolder::open(folder.path()).unwrap().1.is_empty());
    let gone = ask(&mut core, Request::ListRemove { name: "drop".to_owned() });
    assert!(matches!(gone, Outcome::Now(Response::Refused { .. })));
}

#[test]
fn what_is_left_of_a_ban_survives_a_clock_that_is_set() {
    for seconds in [86_400_i64, -86_400] {
        let (folder, mut core) = core();
        let (clock, now) = (clock::wall(), clock::now());
        ask(&mut core, add("192.0.2.1/32", Some(Duration::from_mins(10))));
        let set = crate::guard::timekeeper::moved(clock, seconds);
        core.tick(set, now);
        assert_eq!(core.bans.table().len(), 1);
        assert_eq!(core.status().warnings.len(), 2, "{:?}", core.status().warnings);
        drop(core);
        let (_store, stored) = Store::open(folder.path()).unwrap();
        let left = stored.bans[0].1.left(set).unwrap();
        assert!(left.as_secs().abs_diff(600) <= 6, "{left:?}");
        assert!(stored.seen.unwrap().0.abs_diff(set.0) <= 6);
    }
}

#[tokio::test]
async fn the_proxy_is_told_the_guards_time_and_again_when_the_clock_is_set_or_lost() {
    let (_folder, mut core) = core();
    let mut told = core.keeper.overheard();
    let (clock, now) = (clock::wall(), clock::now());
    let set = Wall(clock.0 + 86_400);
    for (reads, ours) in [(clock, clock), (set, set), (Wall(40), set)] {
        core.tick(reads, now);
        let Some(FromGuard::Time { ahead }) = told.try_recv().ok().map(|one| one.message) else {
            panic!("the proxy is not told that the clock reads {reads:?}");
        };
        let wall = Wall::ahead_of_monotonic(ahead, clock::monotonic_ns());
        assert!(wall.0.abs_diff(ours.0) <= 60, "{wall:?} for {ours:?}");
    }
}

#[test]
fn a_new_proxy_gets_the_time_before_any_key() {
    let (_folder, core) = core();
    let messages = callers(&core.keys, &core.time, Wall(NOON)).messages();
    let FromGuard::Time { ahead } = messages[0].message else { panic!("no time first") };
    assert!(Wall::ahead_of_monotonic(ahead, clock::monotonic_ns()).0.abs_diff(NOON) <= 60);
    assert!(matches!(messages[1].message, FromGuard::Keys { reset: true, .. }));
}

const NOON: u64 = 1_800_000_000;

#[test]
fn expired_bans_leave_with_a_tick() {
    let (_folder, mut core) = core();
    ask(&mut core, add("192.0.2.1/32", Some(Duration::from_secs(2))));
    core.tick(clock::wall(), clock::now());
    assert_eq!(core.bans.table().len(), 1);
    let later = Wall(clock::wall().0 + 3);
    core.tick(later, clock::now());
    assert_eq!(core.bans.table().len(), 0);
}

#[test]
fn notes_and_portions_have_bounds() {
    let (_folder, mut core) = core();
    let long = Request::BlockAdd { net: net("192.0.2.1/32"), ttl: None, note: "x".repeat(257) };
    assert!(matches!(ask(&mut core, long), Outcome::Now(Response::Refused { .. })));
    let nets = vec![net("192.0.2.1/32"); crate::control::IMPORT_PORTION + 1];
    let large = Request::ImportPart { ticket: 1, nets };
    assert!(matches!(ask(&mut core, large), Outcome::Now(Response::Refused { .. })));
}

#[test]
fn every_metric_has_one_value_a_label() {
    let (_folder, mut core) = core();
    ask(&mut core, add("127.0.0.1/32", None));
    let metrics = core.report().guard;
    let mut names: Vec<_> = metrics.iter().map(|one| (&one.name, &one.label)).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
    let refused = metrics.iter().find(|one| one.name == "ban_refusals_total").unwrap();
    assert_eq!((refused.label.as_str(), refused.value), ("protected", 1));
}

#[test]
fn drop_events_are_taken_in_bounded_steps() {
    let event = testing::drop_event();
    let events = vec![event; EVENTS + 1];
    let (_folder, mut core) = core();
    core.kernel = Kernel(Box::new(testing::FakeKernel { events, ..Default::default() }));
    assert!(core.take_events());
    assert_eq!(core.memory.drop_events(), u64::try_from(EVENTS).unwrap());
    assert!(!core.take_events());
    let why = core.why_address([192, 0, 2, 1].into());
    assert_eq!((why.drops.len(), why.drops[0].destination_port), (16, Some(53)));
}

#[test]
fn a_prefix_that_became_protected_warns_of_its_many_bans_in_a_few_lines() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(folder.path()).unwrap();
    let ban = crate::guard::bans::Ban {
        source: crate::guard::kernel::BanSource::Import,
        reason: gateway_common::Reason::Import,
        since: Wall(1),
        expires: None,
        note: "".into(),
    };
    let nets = (0..50_u32).map(|n| IpNet::from(IpAddr::from((0x0A14_0000 + n).to_be_bytes())));
    store.submit(nets.map(|net| Change::Ban(net, Some(ban.clone()))).collect());
    drop(store);
    let mut config = testing::config();
    config.kernel.protect = vec![net("10.20.0.0/16")];
    let state = State::restore(&config, Store::open(folder.path()).unwrap(), &[]);
    assert_eq!(state.warnings.len(), NAMED + 1);
    assert!(state.warnings[NAMED].contains("46 more"), "{:?}", state.warnings);
}

#[test]
fn why_tells_earlier_bans_from_the_one_that_stands() {
    let (_folder, mut core) = core();
    let address: IpAddr = [198, 18, 0, 1].into();
    let findings = |core: &Core| core.why_address(address).findings.join("\n");
    strike_until_banned(&mut core, address);
    assert!(findings(&core).contains("is banned for") && !findings(&core).contains("before"));
    core.tick(Wall(clock::wall().0 + 61), clock::now() + Duration::from_secs(61));
    assert!(findings(&core).contains("was banned for strikes once before"), "{}", findings(&core));
}

#[test]
fn whoever_bans_or_asks_why_is_told_that_bans_drop_nothing() {
    let (_folder, mut core) = core();
    for (panic, told) in [(false, false), (true, true)] {
        core.kernel = Kernel(Box::new(testing::FakeKernel { panic, ..Default::default() }));
        let Outcome::Stored(Response::Done { message }, _) =
            ask(&mut core, add("192.0.2.1/32", None))
        else {
            panic!("not banned");
        };
        assert_eq!(message.contains("every packet passes"), told, "{message}");
        let why = core.why_address([192, 0, 2, 1].into());
        assert_eq!(why.findings[0].contains("every packet passes"), told, "{:?}", why.findings);
    }
}

#[test]
fn a_supplier_is_protected_by_the_host_that_the_proxy_asked_for() {
    let (_folder, mut core) = core();
    let target = Target {
        tls: true,
        host: Host::Name("ledger.example.net".to_owned()),
        port: 443,
        protocol: Protocol::Auto,
        weight: 1,
    };
    core.config.suppliers = vec![Supplier {
        name: "ledger".to_owned(),
        kind: SupplierKind::Http(vec![target]),
        connections: 1,
        ca: None,
        local: false,
        profile: crate::config::defaults::profile(),
    }];
    for (host, address, banned) in [
        ("ledger.example.net", [198, 18, 0, 9], false),
        ("elsewhere.example.net", [198, 18, 0, 10], true),
    ] {
        core.resolved(host, &[address.into()], clock::now());
        let net = IpNet::from(IpAddr::from(address)).to_string();
        let (done, text) = match ask(&mut core, add(&net, None)) {
            Outcome::Now(response) | Outcome::Stored(response, _) => message(response),
            Outcome::WithProxy(..) | Outcome::Later(_) | Outcome::Follow(..) => {
                panic!("a ban is not waited for")
            }
        };
        assert_eq!(done, banned, "{host}: {text}");
    }
}

const SLOW: &str =
    "[kernel]\ninterfaces = [\"eth0\"]\nsyns = \"off\"\nprotect = [\"192.0.2.0/24\"]";

fn apply(core: &mut Core, text: &str) -> Response {
    let (text, origin) = (text.to_owned(), "/tmp/try.toml".to_owned());
    match ask(core, Request::PolicyApply { text, origin, confirm: None }) {
        Outcome::Now(response) | Outcome::Stored(response, _) => response,
        Outcome::WithProxy(..) | Outcome::Later(_) | Outcome::Follow(..) => {
            panic!("nobody else has a say")
        }
    }
}

fn message(response: Response) -> (bool, String) {
    if let Response::Done { message } = response {
        return (true, message);
    }
    let Response::Refused { message } = response else { panic!("{response:?}") };
    (false, message)
}

fn order(core: &mut Core, request: Request) -> (bool, String) {
    match ask(core, request) {
        Outcome::Now(response) | Outcome::Stored(response, _) => message(response),
        Outcome::WithProxy(..) | Outcome::Later(_) | Outcome::Follow(..) => {
            panic!("nobody else has a say")
        }
    }
}

/// With a filter, whose configuration is that of `text` but for what a restart takes.
fn filtering() -> (tempfile::TempDir, Core) {
    core_with(|config| {
        config.kernel = crate::config::load_kernel("[kernel]\ninterfaces = [\"eth0\"]", "t")
            .unwrap()
            .table
            .kernel;
    })
}

fn stored_policy(folder: &tempfile::TempDir, core: Core) -> crate::guard::policy::StoredPolicy {
    drop(core);
    Store::open(folder.path()).unwrap().1.policy.unwrap()
}

#[test]
fn during_a_trial_both_policies_protect_and_confirmed_the_new_one_does() {
    let (folder, mut core) = filtering();
    let (done, said) = message(apply(&mut core, SLOW));
    assert!(done && said.contains("on trial for 60 s"), "{said}");
    let (banned, why) = order(&mut core, add("192.0.2.9/32", None));
    assert!(!banned && why.contains("kernel.protect"), "{why}");
    assert_eq!(core.status().policy.trial.unwrap().origin, "/tmp/try.toml");
    let (again, why) = message(apply(&mut core, SLOW));
    assert!(!again && why.contains("gateway policy confirm"), "{why}");

    let (done, said) = order(&mut core, Request::PolicyConfirm);
    assert!(done && said.contains("has another [kernel]"), "{said}");
    assert_eq!(core.status().policy.trial, None);
    assert_eq!(core.config.kernel.syns, None);
    let policy = stored_policy(&folder, core);
    assert!(policy.text.contains("syns") && policy.tried.is_none(), "{policy:?}");
}

#[test]
fn a_rolled_back_policy_protects_nobody_and_the_store_remembers_that_it_failed() {
    let (folder, mut core) = filtering();
    apply(&mut core, SLOW);
    let (done, said) = order(&mut core, Request::PolicyRollback);
    assert!(done && said.contains("/tmp/try.toml is rolled back"), "{said}");
    assert!(order(&mut core, add("192.0.2.9/32", None)).0);
    assert!(!order(&mut core, Request::PolicyRollback).0, "there is nothing left to end");
    let policy = stored_policy(&folder, core);
    assert!(!policy.text.contains("syns") && policy.tried.is_some(), "{policy:?}");
}

#[test]
fn a_trial_that_is_over_is_understood_and_told() {
    let (_folder, mut core) = filtering();
    apply(&mut core, SLOW);
    let policy = core.policies.trial().unwrap().table.kernel.clone();
    let over = testing::FakeKernel { trial: Some((policy, Duration::ZERO)), ..Default::default() };
    core.kernel = Kernel(Box::new(over));
    let (late, why) = order(&mut core, Request::PolicyConfirm);
    assert!(!late && why.contains("the time to confirm is over"), "{why}");
    assert!(core.status().warnings.iter().any(|warning| warning.contains("not confirmed in time")));
    assert_eq!(core.status().policy.trial, None);
    assert!(core.config.kernel.syns.is_some());
}

#[test]
fn what_takes_a_restart_and_what_is_faulty_is_refused_by_name() {
    let (_folder, mut core) = filtering();
    let more = "[kernel]\ninterfaces = [\"eth0\", \"eth1\"]\ncapacity = { hosts = 5 }";
    let (done, why) = message(apply(&mut core, more));
    assert!(!done && why.contains("interfaces, capacity") && why.contains("restart"), "{why}");
    let (done, why) = message(apply(&mut core, "[kernel]\nsyn = 1"));
    assert!(!done && why.contains("did you mean \"syns\"?"), "{why}");
    let (done, said) = message(apply(&mut core, "[kernel]\ninterfaces = [\"eth0\"]"));
    assert!(done && said.contains("in force already"), "{said}");
    core.kernel = Kernel(Box::new(testing::FakeKernel { broken: true, ..Default::default() }));
    assert!(!message(apply(&mut core, SLOW)).0);
    assert_eq!(core.policies.trial(), None);
}

#[test]
fn a_reload_that_cannot_be_leaves_everything_and_is_remembered() {
    let (_folder, mut core) = filtering();
    let file = core.policies.file().to_owned();
    let text = format!("{}\n{SLOW}\n[bans]\nthreshold = 7\n", crate::config::defaults::EMBEDDED);
    std::fs::write(&file, &text).unwrap();
    let (done, said) = order(&mut core, Request::Reload);
    assert!(!done && said.contains("no proxy serves"), "{said}");
    assert_eq!(core.configuration_status().refused.unwrap().why, said);
    std::fs::write(&file, "[kernel]\nsynz = 5\n").unwrap();
    let (done, said) = order(&mut core, Request::Reload);
    assert!(!done && said.contains("synz") && said.contains(":2:"), "{said}");
    std::fs::remove_file(&file).unwrap();
    assert!(!order(&mut core, Request::Reload).0);
    assert_eq!(core.configuration_status().reloads, 0);
}

#[test]
fn orders_about_shadow_mode_are_exclusive_and_can_be_taken_back() {
    let (_folder, mut core) = filtering();
    let shadow = |on, classes: &[&str]| {
        let classes = classes.iter().map(|class| (*class).to_owned()).collect();
        Request::Shadow { on, classes }
    };
    let limits = gateway_common::Class::Limits.bits();
    assert!(order(&mut core, shadow(true, &["bans", "limits"])).0);
    assert!(order(&mut core, shadow(false, &["bans"])).0);
    let orders = core.kernel.0.shadow_orders();
    assert_eq!((orders.shadow, orders.enforce), (limits, gateway_common::Class::Bans.bits()));
    let told = core.report().guard;
    let told = told.iter().filter(|metric| metric.name == "shadow" && metric.value == 1);
    assert_eq!(told.map(|metric| metric.label.as_str()).collect::<Vec<_>>(), ["limits"]);
    let (done, why) = order(&mut core, shadow(true, &["ban"]));
    assert!(!done && why.contains("there are bans, limits"), "{why}");
    assert!(order(&mut core, shadow(true, &[])).0);
    assert_eq!(core.kernel.0.shadow_orders().enforce, 0);
    assert!(order(&mut core, Request::ShadowReset).0);
    assert_eq!(core.kernel.0.shadow_orders(), crate::guard::kernel::ShadowOrders::default());
}

fn strike_until_banned(core: &mut Core, source: IpAddr) {
    let reason = gateway_common::Reason::CredentialUnknown.number();
    for _ in 0..5 {
        let strike = crate::guard::bans::Strike { source, reason, behind_proxy: false };
        let (now, wall) = (clock::now(), core.wall());
        core.bans.strike(&mut *core.kernel.0, strike, now, wall);
    }
}

fn core() -> (tempfile::TempDir, Core) {
    core_with(|_| {})
}

fn core_with(change: impl FnOnce(&mut Config)) -> (tempfile::TempDir, Core) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = testing::config();
    change(&mut config);
    let state = State::restore(&config, Store::open(folder.path()).unwrap(), &[]);
    let accounts =
        Accounts { own: nix::unistd::geteuid(), root: false, proxy: None, control_group: None };
    let (sender, _events) = mpsc::channel(1);
    let keeper = Keeper::new(
        accounts.clone(),
        "info".to_owned(),
        folder.path().join("proxy.pid"),
        Duration::ZERO,
        sender,
    );
    let kernel = Box::new(testing::FakeKernel::default());
    let lists = ListFolder::open(folder.path()).unwrap();
    let lists = state.start_lists(&config, lists, &*kernel).unwrap();
    let table = KernelTable { kernel: config.kernel.clone(), text: String::new() };
    let file = Named { table, origin: folder.path().join("gateway.toml").display().to_string() };
    let policies = Policies::start(file, None).policies;
    let (text, program) = (String::new(), [0; 32]);
    let cookies =
        Follower::start(&config.kernel.syn_cookies, &config.guard.state, &mut Off, clock::now());
    let (upgrades, _orders) = mpsc::channel(1);
    let parts =
        Parts { config, text, program, kernel, state, lists, policies, keeper, cookies, upgrades };
    let mut core = Core::new(parts, Vec::new(), &accounts);
    core.places = Places::nowhere();
    (folder, core)
}

fn ask(core: &mut Core, request: Request) -> Outcome {
    let (reply, outcome) = oneshot::channel();
    core.command(Ask { request, reply });
    outcome.blocking_recv().unwrap()
}

fn add(wanted: &str, ttl: Option<Duration>) -> Request {
    Request::BlockAdd { net: net(wanted), ttl, note: "test".to_owned() }
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}
