use super::*;
use crate::{
    clock,
    guard::testing::{self, FakeKernel},
};

const WALL: Wall = Wall(1_800_000_000);

#[test]
fn a_ban_is_in_the_kernel_in_the_list_and_on_its_way_to_the_store() {
    let (mut list, mut kernel) = (list(), FakeKernel::default());
    let added = list.add(&mut kernel, cli("192.0.2.7/24", Some(60)), WALL).unwrap();

    assert_eq!(added, Added::New);
    let held = kernel.bans.get(&net("192.0.2.0/24")).unwrap();
    assert_eq!(held.left, Some(Duration::from_mins(1)));
    let ban = list.table().get(net("192.0.2.0/24")).unwrap().clone();
    assert_eq!(ban.expires, Some(Wall(WALL.0 + 60)));
    assert_eq!(list.take_changes(), [Change::Ban(net("192.0.2.0/24"), Some(ban))]);
}

#[test]
fn protected_addresses_are_refused_from_inside_and_from_outside_saying_why() {
    let (mut list, mut kernel) = (list(), FakeKernel::default());
    list.resolved(&mut kernel, "ledger", &["203.0.113.9".parse().unwrap()]);
    for (wanted, why) in [
        ("10.20.3.4/32", Protection::Management),
        ("10.0.0.0/8", Protection::Management),
        ("203.0.113.240/28", Protection::TrustedProxy),
        ("127.0.0.1/32", Protection::Loopback),
        ("::ffff:127.0.0.1/128", Protection::Loopback),
        ("0.0.0.0/0", Protection::Loopback),
        ("::1/128", Protection::Loopback),
        ("198.51.100.1/32", Protection::Interface),
        ("203.0.113.9/32", Protection::Supplier("ledger".to_owned())),
    ] {
        let error = list.add(&mut kernel, cli(wanted, None), WALL).unwrap_err();
        assert!(matches!(&error, BanError::Protected { why: w, .. } if *w == why), "{error}");
    }
    assert!(kernel.bans.is_empty() && list.take_changes().is_empty());
    assert_eq!(list.refused().collect::<Vec<_>>(), [("protected", 9)]);
}

#[test]
fn a_full_kernel_refuses_the_new_ban_and_keeps_the_old_ones() {
    let (mut list, mut kernel) = (list(), FakeKernel { capacity: Some(2), ..Default::default() });
    list.add(&mut kernel, cli("192.0.2.1/32", None), WALL).unwrap();
    list.add(&mut kernel, cli("192.0.2.2/32", None), WALL).unwrap();
    let error = list.add(&mut kernel, cli("192.0.2.3/32", None), WALL).unwrap_err();

    assert_eq!(error.name(), "full");
    assert_eq!((list.table().len(), kernel.bans.len()), (2, 2));
    assert!(list.table().get(net("192.0.2.3/32")).is_none());
    list.add(&mut kernel, cli("192.0.2.2/32", Some(5)), WALL).unwrap();
}

#[test]
fn strikes_neither_replace_nor_shorten_the_operators_ban() {
    for wide in ["198.18.0.1/32", "198.18.0.0/16"] {
        let (mut list, mut kernel) = (list(), FakeKernel::default());
        list.add(&mut kernel, cli(wide, None), WALL).unwrap();
        for _ in 0..10 {
            strike(&mut list, &mut kernel, "198.18.0.1", WALL);
        }
        assert_eq!(list.table().len(), 1);
        assert_eq!(list.table().get(net(wide)).unwrap().source, BanSource::Cli);
    }
}

#[test]
fn the_operator_replaces_a_strike_ban_and_an_import_does_not_replace_the_operators() {
    let (mut list, mut kernel) = (list(), FakeKernel::default());
    for _ in 0..5 {
        strike(&mut list, &mut kernel, "198.18.0.1", WALL);
    }
    let host = net("198.18.0.1/32");
    assert_eq!(list.table().get(host).unwrap().source, BanSource::Strike);
    assert_eq!(list.add(&mut kernel, cli("198.18.0.1/32", None), WALL).unwrap(), Added::Replaced);
    let import = Wanted { source: BanSource::Import, ..cli("198.18.0.1/32", Some(5)) };
    assert_eq!(list.add(&mut kernel, import, WALL).unwrap(), Added::Known);
    assert_eq!(list.table().get(host).unwrap().expires, None);
}

#[test]
fn an_import_lengthens_a_strike_ban_and_does_not_shorten_it() {
    let (mut list, mut kernel) = (list(), FakeKernel::default());
    for _ in 0..5 {
        strike(&mut list, &mut kernel, "198.18.0.1", WALL);
    }
    let host = net("198.18.0.1/32");
    let import =
        |seconds| Wanted { source: BanSource::Import, ..cli("198.18.0.1/32", Some(seconds)) };
    assert_eq!(list.add(&mut kernel, import(5), WALL).unwrap(), Added::Known);
    assert_eq!(list.table().get(host).unwrap().left(WALL), Some(Duration::from_mins(1)));
    assert_eq!(list.add(&mut kernel, import(600), WALL).unwrap(), Added::Replaced);
    assert_eq!(list.table().get(host).unwrap().left(WALL), Some(Duration::from_mins(10)));
}

#[test]
fn an_expired_ban_leaves_kernel_list_and_store_and_the_relapse_is_remembered() {
    let (mut list, mut kernel) = (list(), FakeKernel::default());
    for _ in 0..5 {
        strike(&mut list, &mut kernel, "198.18.0.1", WALL);
    }
    list.take_changes();
    let over = Wall(WALL.0 + 60);
    assert_eq!(list.sweep(&mut kernel, Wall(over.0 - 1)).0, 0);
    assert_eq!(list.sweep(&mut kernel, over).0, 1);
    assert!(kernel.bans.is_empty());
    assert_eq!(list.take_changes(), [Change::Ban(net("198.18.0.1/32"), None)]);

    for _ in 0..5 {
        strike(&mut list, &mut kernel, "198.18.0.1", over);
    }
    let ban = list.table().get(net("198.18.0.1/32")).unwrap();
    assert_eq!(ban.left(over), Some(Duration::from_mins(2)));
}

#[test]
fn an_expired_ban_that_the_kernel_keeps_is_tried_again() {
    let (mut list, mut kernel) = (list(), FakeKernel::default());
    list.add(&mut kernel, cli("192.0.2.1/32", Some(5)), WALL).unwrap();
    kernel.broken = true;
    let over = Wall(WALL.0 + 5);
    let (swept, failed) = list.sweep(&mut kernel, over);
    assert!(swept == 0 && failed.is_some());
    kernel.broken = false;
    assert_eq!(list.sweep(&mut kernel, over).0, 1);
}

#[test]
fn removing_names_the_ban_that_covers_the_address() {
    let (mut list, mut kernel) = (list(), FakeKernel::default());
    list.add(&mut kernel, cli("192.0.2.0/25", None), WALL).unwrap();
    let covered = list.remove(&mut kernel, net("192.0.2.1/32")).unwrap_err();
    assert!(matches!(covered, UnbanError::Covered { wide, .. } if wide == net("192.0.2.0/25")));
    let unknown = list.remove(&mut kernel, net("192.0.2.128/32")).unwrap_err();
    assert!(matches!(unknown, UnbanError::Unknown { .. }));
    list.remove(&mut kernel, net("192.0.2.0/25")).unwrap();
    assert!(kernel.bans.is_empty());
}

#[test]
fn restoring_drops_what_is_over_and_what_became_protected() {
    let mut list = list();
    let ban = |expires| Ban {
        source: BanSource::Cli,
        reason: Reason::Operator,
        since: Wall(0),
        expires,
        note: "".into(),
    };
    let refused = list.restore(
        [
            (net("192.0.2.1/32"), ban(Some(Wall(WALL.0 - 1)))),
            (net("192.0.2.2/32"), ban(Some(Wall(WALL.0 + 30)))),
            (net("192.0.2.3/32"), ban(None)),
            (net("10.20.0.1/32"), ban(None)),
        ],
        WALL,
    );
    assert_eq!(refused.len(), 1);
    assert_eq!(list.take_changes(), [Change::Ban(net("192.0.2.1/32"), None)]);
    let left: Vec<_> =
        list.kernel_bans(WALL).into_iter().map(|(net, ban)| (net, ban.left)).collect();
    assert_eq!(
        left,
        [(net("192.0.2.2/32"), Some(Duration::from_secs(30))), (net("192.0.2.3/32"), None)]
    );
}

#[test]
fn a_supplier_that_moves_to_a_banned_address_lifts_strike_bans_only() {
    let (mut list, mut kernel) = (list(), FakeKernel::default());
    for _ in 0..5 {
        strike(&mut list, &mut kernel, "198.18.0.1", WALL);
    }
    list.add(&mut kernel, cli("198.19.0.0/16", None), WALL).unwrap();
    let addresses = ["198.18.0.1".parse().unwrap(), "198.19.0.1".parse().unwrap()];
    let standing = list.resolved(&mut kernel, "ledger", &addresses);

    assert_eq!(standing, [net("198.19.0.0/16")]);
    assert!(list.table().get(net("198.18.0.1/32")).is_none());
    assert!(matches!(
        strike(&mut list, &mut kernel, "198.18.0.1", WALL),
        Struck::Judged(Judgement::Ignored(_))
    ));
}

#[test]
fn a_clock_that_was_set_rewrites_what_is_stored() {
    let (mut list, mut kernel) = (list(), FakeKernel::default());
    list.add(&mut kernel, cli("192.0.2.1/32", Some(60)), WALL).unwrap();
    list.take_changes();
    list.shift(1000);
    let changes = list.take_changes();
    let expires = Some(Wall(WALL.0 + 1060));
    assert!(
        matches!(&changes[..], [Change::Ban(_, Some(ban))] if ban.expires == expires),
        "{changes:?}"
    );
}

/// Each is narrow enough, and all of them are a twentieth of the Internet.
#[test]
fn one_source_does_not_ban_the_internet_piece_by_piece() {
    let (mut list, mut kernel) = (list(), FakeKernel::default());
    for first in 40..52 {
        let piece = cli(&format!("{first}.0.0.0/8"), None);
        list.add(&mut kernel, piece, WALL).unwrap();
    }
    // What is covered already adds nothing.
    list.add(&mut kernel, cli("40.7.0.0/16", None), WALL).unwrap();
    let refused = list.add(&mut kernel, cli("52.0.0.0/8", None), WALL).unwrap_err();
    assert_eq!(refused.name(), "coverage");
    assert!(refused.to_string().contains("cli would cover 6 % of the IPv4"), "{refused}");
    assert!(!kernel.bans.contains_key(&net("52.0.0.0/8")));
    list.add(&mut kernel, cli("52.1.2.3/32", None), WALL).unwrap();
    // Another source has a share of its own, and what was lifted makes room.
    let strike = Wanted { source: BanSource::Strike, ..cli("52.0.0.0/8", None) };
    list.add(&mut kernel, strike, WALL).unwrap();
    list.remove(&mut kernel, net("40.0.0.0/8")).unwrap();
    list.add(&mut kernel, cli("53.0.0.0/8", None), WALL).unwrap();
}

fn list() -> BanList {
    let mut config = testing::config();
    config.kernel.protect = vec![net("10.20.0.0/16")];
    config.kernel.trusted_proxies = vec![net("203.0.113.240/28")];
    let protected = Protected::new(&config, &["198.51.100.1".parse().unwrap()]);
    let judge = Judge::new(&config.bans, &config.kernel.shared, Offenders::default());
    BanList::new(judge, protected, config.kernel.capacity, &config.bans)
}

fn strike(list: &mut BanList, kernel: &mut FakeKernel, from: &str, wall: Wall) -> Struck {
    let strike = Strike {
        source: from.parse().unwrap(),
        reason: Reason::CredentialUnknown.number(),
        behind_proxy: false,
    };
    list.strike(kernel, strike, clock::now(), wall)
}

fn cli(wanted: &str, seconds: Option<u64>) -> Wanted {
    Wanted {
        net: net(wanted),
        source: BanSource::Cli,
        reason: Reason::Operator,
        ttl: seconds.map(Duration::from_secs),
        note: "".into(),
    }
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}
