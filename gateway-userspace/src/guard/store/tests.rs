use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use gateway_common::Reason;

use super::*;
use crate::guard::kernel::BanSource;

#[test]
fn what_was_written_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, stored) = Store::open(folder.path()).unwrap();
    assert!(stored.bans.is_empty() && stored.seen.is_none());
    store.submit(vec![
        Change::Ban(net("192.0.2.1/32"), Some(ban(Some(5)))),
        Change::Ban(net("2001:db8::/48"), Some(ban(None))),
        Change::Allow(net("192.0.2.0/24"), Some(Allow { since: Wall(1), note: "n".to_owned() })),
        Change::Key("abc".to_owned(), Some(key())),
        Change::Offender(net("192.0.2.1/32"), Some(Offender { bans: 3, until: Wall(9) })),
        Change::Policy(StoredPolicy { tried: Some([1; 32]), ..policy() }),
        Change::Policy(policy()),
        Change::Seen(Wall(77)),
    ]);
    store.submit(vec![Change::Ban(net("192.0.2.1/32"), None)]);
    drop(store);

    let (_store, stored) = Store::open(folder.path()).unwrap();
    assert_eq!(stored.bans, [(net("2001:db8::/48"), ban(None))]);
    assert_eq!(stored.allows.len(), 1);
    assert_eq!(stored.keys, [("abc".to_owned(), key())]);
    assert_eq!(stored.offenders, [(net("192.0.2.1/32"), Offender { bans: 3, until: Wall(9) })]);
    assert_eq!(stored.policy, Some(policy()));
    assert_eq!(stored.seen, Some(Wall(77)));
}

#[test]
fn a_durable_change_survives_a_copy_taken_right_after_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(folder.path()).unwrap();
    let durable = store.submit_durable(vec![Change::Ban(net("192.0.2.1/32"), Some(ban(None)))]);
    durable.blocking_recv().unwrap().unwrap();

    let copy = tempfile::tempdir().unwrap();
    fs::copy(folder.path().join("store.redb"), copy.path().join("store.redb")).unwrap();
    let (_copied, stored) = Store::open(copy.path()).unwrap();
    assert_eq!(stored.bans.len(), 1);
}

#[test]
fn nobody_else_may_read_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let _store = Store::open(&state).unwrap();
    assert_eq!(mode(&state), 0o700);
    assert_eq!(mode(&state.join("store.redb")), 0o600);
}

#[test]
fn a_store_of_garbage_is_refused_naming_the_file_and_left_as_it_is() {
    for garbage in [b"not a store at all".to_vec(), vec![0; 4096], vec![0xff; 70_000]] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.redb");
        fs::write(&path, &garbage).unwrap();
        let error = Store::open(folder.path()).unwrap_err();
        assert!(
            matches!(&error, StoreError::Corrupt { path: named, .. } if *named == path),
            "{error:?}"
        );
        assert_eq!(fs::read(&path).unwrap(), garbage);
    }
}

#[test]
fn a_store_with_damaged_pages_never_reads_as_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(folder.path()).unwrap();
    let bans = (0..500_u32).map(|n| {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + n);
        Change::Ban(ipnet::Ipv4Net::from(address).into(), Some(ban(None)))
    });
    store.submit(bans.collect());
    drop(store);
    let path = folder.path().join("store.redb");
    let sound = fs::read(&path).unwrap();
    for page in [1, 2, 3, 5, 8] {
        let mut damaged = sound.clone();
        let end = (page * 4096 + 4096).min(damaged.len());
        damaged[page * 4096..end].fill(0xa5);
        fs::write(&path, &damaged).unwrap();
        match Store::open(folder.path()) {
            Ok((_, stored)) => assert_eq!(stored.bans.len(), 500, "page {page}"),
            Err(error) => assert!(error.to_string().contains("store.redb"), "{error}"),
        }
    }
}

#[test]
fn a_store_of_a_newer_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let newer: redb::TableDefinition<'_, u64, u64> = redb::TableDefinition::new("bans.v2");
    let database = redb::Database::create(folder.path().join("store.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(newer).unwrap();
    transaction.commit().unwrap();
    drop(database);

    let error = Store::open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Newer { table, .. } if table == "bans.v2"));
}

#[test]
fn a_store_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _first = Store::open(folder.path()).unwrap();
    assert!(matches!(Store::open(folder.path()), Err(StoreError::Busy { .. })));
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn ban(expires: Option<u64>) -> Ban {
    Ban {
        source: BanSource::Cli,
        reason: Reason::Operator,
        since: Wall(1),
        expires: expires.map(Wall),
        note: "why".into(),
    }
}

fn key() -> StoredKey {
    StoredKey {
        hash: [7; 32],
        identity: "customers".to_owned(),
        client: "c".to_owned(),
        since: Wall(1),
        expires: None,
        revoked: true,
    }
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn policy() -> StoredPolicy {
    StoredPolicy {
        text: "[kernel]\n".to_owned(),
        origin: "/etc/gateway.toml".to_owned(),
        file: [9; 32],
        tried: None,
    }
}
