use super::*;
use crate::guard::testing::{FakeBulk, config};

const WALL: Wall = Wall(1_000_000);

struct Lab {
    folder: tempfile::TempDir,
    kernel: FakeBulk,
}

impl Lab {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), kernel: FakeBulk::default() }
    }

    fn start(&self, wall: Wall) -> Lists {
        let stored = ListFolder::open(self.folder.path()).unwrap();
        let capacity = Capacity { hosts: 50, prefixes: 50, ..config().kernel.capacity };
        let bounds = (capacity, Coverage { ipv4: 5, ipv6: 1 });
        Lists::start(stored, bounds, Box::new(self.kernel.clone()), protected(), wall).unwrap()
    }

    fn held(&self) -> Vec<String> {
        self.kernel.held().keys().map(ToString::to_string).collect()
    }
}

fn protected() -> ProtectedNets {
    vec![(net("10.20.0.0/16"), Protection::Management)]
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn header(name: &str, ttl: Option<Duration>) -> Header {
    Header {
        name: name.to_owned(),
        source: BanSource::Import,
        ttl,
        note: "".into(),
        skip_unfit: false,
    }
}

fn import(lists: &mut Lists, header: Header, nets: &[&str]) -> Result<Done, ListError> {
    let now = crate::clock::now();
    let nets: Vec<IpNet> = nets.iter().map(|text| net(text)).collect();
    let ticket = lists.begin(header, now)?;
    lists.add(ticket, &nets, now)?;
    lists.commit(ticket, WALL)?.blocking_recv().unwrap()
}

/// Waits until the thread has done what it was told before.
fn settle(lists: &mut Lists) {
    let name = "settle";
    import(lists, header(name, None), &[]).unwrap();
    lists.remove(name, WALL).unwrap().blocking_recv().unwrap().unwrap();
}

#[test]
fn a_list_replaces_the_one_of_its_name_and_no_other() {
    let lab = Lab::new();
    let mut lists = lab.start(WALL);
    import(&mut lists, header("a", None), &["192.0.2.1/32", "192.0.2.0/32"]).unwrap();
    import(&mut lists, header("b", None), &["198.51.100.0/24"]).unwrap();
    assert_eq!(lab.held(), ["192.0.2.0/31", "198.51.100.0/24"]);
    import(&mut lists, header("a", None), &["203.0.113.7/32"]).unwrap();
    assert_eq!(lab.held(), ["198.51.100.0/24", "203.0.113.7/32"]);
    lists.remove("b", WALL).unwrap().blocking_recv().unwrap().unwrap();
    assert_eq!(lab.held(), ["203.0.113.7/32"]);
}

#[test]
fn what_is_refused_leaves_everything_as_it_was() {
    let lab = Lab::new();
    let mut lists = lab.start(WALL);
    import(&mut lists, header("a", None), &["192.0.2.1/32"]).unwrap();
    lab.kernel.limit(3);
    let hosts: Vec<String> = (0..4).map(|n| format!("198.51.100.{}/32", 2 * n)).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let eighths: Vec<String> = (0..14).map(|n| format!("{}.0.0.0/8", 40 + n)).collect();
    let eighths: Vec<&str> = eighths.iter().map(String::as_str).collect();
    for (name, nets, told) in [
        ("a", &hosts[..], "raise hosts or prefixes"),
        ("a", &["203.0.113.0/24", "10.0.0.0/8"], "may not be banned"),
        ("a", &eighths, "bans.coverage"),
        ("../etc", &["203.0.113.0/24"], "no name of a list"),
        (".hidden", &["203.0.113.0/24"], "no name of a list"),
    ] {
        let error = import(&mut lists, header(name, None), nets).unwrap_err();
        assert!(crate::guard::chain(&error).contains(told), "{name}: {error:?}");
        assert_eq!(lab.held(), ["192.0.2.1/32"]);
        assert_eq!(lists.named()["a"].nets.len(), 1);
    }
    drop(lists);
    assert_eq!(lab.start(WALL).named()["a"].nets.len(), 1, "also on the disk");
}

#[test]
fn a_list_that_is_not_committed_is_nothing() {
    let lab = Lab::new();
    let mut lists = lab.start(WALL);
    let now = crate::clock::now();
    let ticket = lists.begin(header("a", None), now).unwrap();
    lists.add(ticket, &[net("192.0.2.1/32")], now).unwrap();
    lists.abort(ticket);
    assert!(matches!(lists.commit(ticket, WALL), Err(ListError::Abandoned)));
    for _ in 0..STAGINGS {
        lists.begin(header("a", None), now).unwrap();
    }
    assert!(matches!(lists.begin(header("a", None), now), Err(ListError::Busy)));
    let later = now + ABANDONED;
    let ticket = lists.begin(header("a", None), later).unwrap();
    let too_many = vec![net("192.0.2.1/32"); 401];
    assert!(matches!(lists.add(ticket, &too_many, later), Err(ListError::TooLong { most: 400 })));
    assert!(lab.held().is_empty());
}

#[test]
fn lists_are_in_force_before_anything_else_at_the_next_start() {
    let lab = Lab::new();
    let mut lists = lab.start(WALL);
    import(&mut lists, header("a", None), &["192.0.2.0/24"]).unwrap();
    import(&mut lists, header("short", Some(Duration::from_mins(1))), &["10.1.0.0/16"]).unwrap();
    drop(lists);
    let again = Lab { folder: lab.folder, kernel: FakeBulk::default() };
    let lists = again.start(Wall(WALL.0 + 60));
    assert_eq!(again.held(), ["192.0.2.0/24"], "the other is over");
    assert_eq!(lists.covering(net("192.0.2.9/32"), WALL).unwrap().0, "a");
}

#[test]
fn what_is_over_and_what_became_protected_leaves_by_itself() {
    let lab = Lab::new();
    let mut lists = lab.start(WALL);
    import(&mut lists, header("a", None), &["192.0.2.0/30"]).unwrap();
    import(&mut lists, header("short", Some(Duration::from_mins(1))), &["10.1.0.0/16"]).unwrap();
    lists.tick(protected, Wall(WALL.0 + 59));
    settle(&mut lists);
    assert_eq!(lab.held(), ["10.1.0.0/16", "192.0.2.0/30"]);
    lists.tick(protected, Wall(WALL.0 + 60));
    settle(&mut lists);
    assert_eq!(lab.held(), ["192.0.2.0/30"]);
    let supplier = (net("192.0.2.2/32"), Protection::Supplier("ledger".to_owned()));
    let more: ProtectedNets = protected().into_iter().chain([supplier]).collect();
    lists.tick(|| more, WALL);
    settle(&mut lists);
    assert_eq!(lab.held(), ["192.0.2.0/31", "192.0.2.3/32"]);
}

#[test]
fn a_clock_that_was_set_leaves_lists_the_time_they_had() {
    let lab = Lab::new();
    let mut lists = lab.start(WALL);
    import(&mut lists, header("a", Some(Duration::from_mins(10))), &["192.0.2.0/24"]).unwrap();
    lists.shift(-5000).unwrap();
    settle(&mut lists);
    drop(lists);
    let list = Arc::clone(&lab.start(WALL).named()["a"]);
    assert_eq!((list.since, list.expires), (Wall(995_000), Some(Wall(995_600))));
}

#[test]
fn an_address_is_lifted_from_every_list_it_is_in() {
    let lab = Lab::new();
    let mut lists = lab.start(WALL);
    import(&mut lists, header("a", None), &["192.0.2.0/31"]).unwrap();
    import(&mut lists, header("b", None), &["192.0.2.1/32", "203.0.113.0/24"]).unwrap();
    let lifted = net("192.0.2.1/32");
    lists.lift(lifted, WALL).unwrap().blocking_recv().unwrap().unwrap();
    assert_eq!(lab.held(), ["192.0.2.0/32", "203.0.113.0/24"]);
    assert!(matches!(lists.lift(lifted, WALL), Err(ListError::NotListed { .. })));
}
