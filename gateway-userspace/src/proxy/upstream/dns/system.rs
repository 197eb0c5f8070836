//! What this machine says of names: `/etc/resolv.conf` (resolv.conf(5)) and `/etc/hosts`. Both are
//! looked at before each question and read again when they changed.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

/// Bytes of a file that are read.
const MOST: u64 = 1 << 20;
/// As the C library does.
const SERVERS: usize = 3;
const SEARCHED: usize = 6;
const DOTS: usize = 15;
const PORT: u16 = 53;

/// What is searched, and whom to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Conf {
    pub(super) servers: Vec<SocketAddr>,
    pub(super) search: Vec<String>,
    /// A name with fewer dots is searched first.
    pub(super) dots: usize,
}

/// The files, as last read.
#[derive(Debug)]
pub(super) struct System {
    conf: Watched<Conf>,
    hosts: Watched<Vec<(IpAddr, String)>>,
}

#[derive(Debug)]
struct Watched<T> {
    path: PathBuf,
    parse: fn(&str) -> T,
    last: Mutex<(Option<Stamp>, Arc<T>)>,
}

/// Differs when a file was written or replaced.
type Stamp = (u64, u64, Option<SystemTime>);

impl System {
    pub(super) fn at(conf: &Path, hosts: &Path) -> Self {
        Self { conf: Watched::new(conf, Conf::parse), hosts: Watched::new(hosts, hosts_of) }
    }

    pub(super) fn conf(&self) -> Arc<Conf> {
        self.conf.current()
    }

    /// What the hosts file says of a name.
    pub(super) fn hosts(&self, name: &str) -> Vec<IpAddr> {
        let all = self.hosts.current();
        all.iter().filter(|(_, known)| known == name).map(|(address, _)| *address).collect()
    }
}

impl<T> Watched<T> {
    fn new(path: &Path, parse: fn(&str) -> T) -> Self {
        let last = Mutex::new((None, Arc::new(parse(""))));
        Self { path: path.to_owned(), parse, last }
    }

    fn current(&self) -> Arc<T> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = stamp(&self.path);
        if stamp.is_some() && last.0 != stamp {
            last.0 = stamp;
            match read(&self.path) {
                Ok(text) => last.1 = Arc::new((self.parse)(&text)),
                // Replaced by another file, which the sandbox does not know.
                Err(error) => {
                    let path = self.path.display();
                    tracing::warn!(%path, %error, "a changed file cannot be read: what it said before stands");
                }
            }
        }
        Arc::clone(&last.1)
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.modified().ok()))
}

fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

impl Conf {
    fn parse(text: &str) -> Self {
        let (mut servers, mut search, mut dots) = (Vec::new(), Vec::new(), 1);
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => servers.extend(words.next().and_then(server)),
                // The last of them counts.
                Some("search" | "domain") => search = words.map(domain).collect(),
                Some("options") => {
                    let mut counts =
                        words.filter_map(|word| word.strip_prefix("ndots:")?.parse().ok());
                    dots = counts.next_back().unwrap_or(dots).min(DOTS);
                }
                _ => {}
            }
        }
        servers.truncate(SERVERS);
        if servers.is_empty() {
            // As resolv.conf(5) has it.
            servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT));
        }
        search.truncate(SEARCHED);
        search.retain(|domain: &String| !domain.is_empty());
        Self { servers, search, dots }
    }
}

fn server(word: &str) -> Option<SocketAddr> {
    // With its interface: fe80::1%2 by number; names of interfaces are not known here.
    let scoped = word.split_once('%').and_then(|(address, scope)| {
        let (address, scope) = (address.parse().ok()?, scope.parse().ok()?);
        Some(SocketAddr::V6(std::net::SocketAddrV6::new(address, PORT, 0, scope)))
    });
    scoped.or_else(|| Some(SocketAddr::new(word.parse().ok()?, PORT)))
}

fn domain(word: &str) -> String {
    word.trim_end_matches('.').to_ascii_lowercase()
}

fn hosts_of(text: &str) -> Vec<(IpAddr, String)> {
    let line = |line: &str| {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let address: Option<IpAddr> = words.next().and_then(|word| word.parse().ok());
        let names: Vec<String> = words.map(domain).collect();
        address.into_iter().flat_map(move |at| names.clone().into_iter().map(move |n| (at, n)))
    };
    text.lines().flat_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_servers_search_and_dots_as_the_c_library_does() {
        let conf = Conf::parse(
            "# a\n; b\nnameserver 192.0.2.53\nnameserver 2001:db8::53\nnameserver fe80::1%2\n\
             nameserver 192.0.2.54\nnameserver nonsense\ndomain first.example\n\
             search a.example. B.example\noptions rotate ndots:3 timeout:1\n",
        );
        let servers = ["192.0.2.53:53", "[2001:db8::53]:53", "[fe80::1%2]:53"];
        assert_eq!(conf.servers, servers.map(|text| text.parse().unwrap()));
        assert_eq!((conf.search, conf.dots), (vec!["a.example".into(), "b.example".into()], 3));
        assert_eq!(Conf::parse("").servers, ["127.0.0.1:53".parse().unwrap()]);
    }

    #[test]
    fn a_changed_file_is_read_again_and_one_that_is_gone_stands() {
        let folder = tempfile::tempdir().unwrap();
        let (conf, hosts) = (folder.path().join("resolv.conf"), folder.path().join("hosts"));
        fs::write(&conf, "nameserver 192.0.2.1\n").unwrap();
        fs::write(&hosts, "192.0.2.9 Ledger.example ledger # here\n2001:db8::9 ledger\n").unwrap();
        let system = System::at(&conf, &hosts);
        assert_eq!(system.conf().servers, ["192.0.2.1:53".parse().unwrap()]);
        assert_eq!(system.hosts("ledger").len(), 2);
        assert_eq!(system.hosts("ledger.example").len(), 1);
        fs::write(&conf, "nameserver 192.0.2.22\n").unwrap();
        assert_eq!(system.conf().servers, ["192.0.2.22:53".parse().unwrap()]);
        fs::remove_file(&conf).unwrap();
        assert_eq!(system.conf().servers, ["192.0.2.22:53".parse().unwrap()]);
    }
}
