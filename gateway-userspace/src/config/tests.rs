//! What an operator sees of the configuration: what is taken, what is refused and how.

use std::time::Duration;

use gateway_common::Reason;
use proptest::prelude::*;

use super::{
    defaults, load,
    model::{
        AccessLog, Certificates, Config, Host, IdentityMethod, LimitKey, Protocol, SupplierKind,
    },
};

const REFERENCE: &str = include_str!("../../../docs/reference.toml");

fn good(text: &str) -> Config {
    load(text, "t.toml").unwrap_or_else(|faults| panic!("{faults}"))
}

fn bad(text: &str) -> Vec<String> {
    let faults = load(text, "t.toml").expect_err("this has faults");
    faults.to_string().lines().map(str::to_owned).collect()
}

/// A working configuration with `extra` put in.
fn with(extra: &str) -> String {
    format!("{extra}\n{}", defaults::EMBEDDED)
}

#[test]
fn embedded_default_serves_the_echo_on_loopback_without_the_kernel() {
    let config = good(defaults::EMBEDDED);
    assert!(!config.kernel.enabled);
    assert!(config.listeners.iter().all(|l| l.address.ip().is_loopback()));
    assert!(config.listeners.iter().all(|l| l.tls.certificates == Certificates::SelfSigned));
    assert_eq!(config.suppliers[0].kind, SupplierKind::Echo);
    assert!(config.routes.iter().all(|route| route.identity.is_none() && route.limit.is_some()));
    assert_eq!(config.admin.metrics, None);
}

#[test]
fn five_faults_of_different_kinds_are_all_told_with_their_lines() {
    let lines = bad(r#"[kernel]
interface = ["eth0"]
attach = 5
[bans]
first = "2h"
longest = "1h"
[[listener]]
address = "127.0.0.1:8443"
[[supplier]]
name = "ledger"
[[route]]
path = "/a"
supplier = "leger"
identity = "none"
limit = { rate = "50 per second" }
"#);
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn reads_every_section() {
    let config = good(
        r#"
[kernel]
interfaces = ["eth0"]
protect = ["10.20.0.0/16", "::ffff:192.0.2.9"]
packets = { rate = "20/s", burst = 40 }
[bans]
weights = { credential_unknown = 50 }
[log]
access = "/var/log/gateway/access.log"
[[listener]]
address = "[::]:443"
certificate = "/tls/edge.pem"
key = "/tls/edge.key"
[[identity]]
name = "customers"
api_key = { header = "X-API-Key" }
[[supplier]]
name = "ledger"
targets = ["https://Ledger.example.net", "h2c://[2001:db8::7]:50051"]
[[route]]
host = "API.example.com"
path = "/v1/payments/{id}"
methods = ["GET", "POST"]
supplier = "ledger"
identity = "customers"
limit = { per = "client", rate = "100/m" }
body = "64KiB"
timeout = "250ms"
"#,
    );
    assert!(config.kernel.enabled);
    assert_eq!(config.kernel.protect[1].to_string(), "192.0.2.9/32");
    assert_eq!(config.bans.weights, [(Reason::CredentialUnknown, 50)]);
    assert_eq!(config.log.access, AccessLog::File("/var/log/gateway/access.log".into()));
    let IdentityMethod::ApiKey { header } = &config.identities[0].method else { panic!() };
    assert_eq!(header, "x-api-key");
    let SupplierKind::Http(targets) = &config.suppliers[0].kind else { panic!("not HTTP") };
    assert_eq!(targets[0].host, Host::Name("ledger.example.net".to_owned()));
    assert_eq!((targets[1].tls, targets[1].protocol), (false, Protocol::Http2));
    let route = &config.routes[0];
    assert_eq!(route.name, "GET,POST api.example.com/v1/payments/{id}");
    assert_eq!((route.body_bytes, route.timeout), (65_536, Duration::from_millis(250)));
    let limit = route.limit.unwrap();
    assert_eq!(limit.per, LimitKey::Client);
    assert_eq!(limit.rate.interval(), Duration::from_millis(600));
    assert_eq!(limit.rate.burst, 100, "a burst left out is the rate's number");
}

/// One line of configuration, and a part of what is said about it.
const REFUSED: &[(&str, &str)] = &[
    ("[kernel]\npolicy = \"shut\"", "write \"open\" or \"closed\""),
    ("[kernel]\nservices = [\"tcp/0\"]", "\"tcp/0\" is no service"),
    ("[kernel]\nservices = [\"ip/17\"]", "\"ip/17\" is no service"),
    ("[kernel]\nprotect = [\"0.0.0.0/0\"]", "exempt too much of the Internet"),
    ("[kernel]\nshared = [\"100.0.0.0/6\"]", "exempt too much of the Internet"),
    ("[kernel]\nprotect = [\"127.0.0.1\"]", "loopback, which is never banned"),
    ("[kernel]\ntrusted_proxies = [\"192.0.2.1/24\"]", "write 192.0.2.0/24"),
    ("[kernel]\ntrusted_proxies = [\"224.0.0.1\"]", "multicast"),
    ("[kernel]\ninterfaces = [\"eth0\", \"eth0\"]", "listed twice"),
    ("[kernel]\ninterfaces = [\"a name too long for it\"]", "not the name of an interface"),
    ("[kernel]\npackets = { rate = \"20000/s\", burst = 399 }", "write burst = 400 or more"),
    ("[kernel]\npackets = { rate = \"20/s\", burst = 0 }", "number from 1 to"),
    ("[kernel]\npackets = { burst = 5 }", "kernel.packets.rate: is missing"),
    ("[kernel]\nsyns = \"of\"", "write a table of keys"),
    ("[kernel]\nsyns_neighbourhood = { rate = \"9000/s\", burst = 50 }", "burst = 180 or more"),
    ("[kernel]\nallow_limit = \"off\"", "write a table of keys"),
    ("[kernel.answers]\nvlan_depth = \"reject\"", "write \"pass\" or \"drop\""),
    ("[kernel.capacity]\nhosts = 0", "out of range"),
    ("[bans]\nthreshold = -1", "\"-1\" is out of range"),
    ("[bans]\nfirst = \"soon\"", "not a time"),
    ("[bans]\nfirst = 60", "is a whole number; write a time in quotes"),
    ("[bans]\nfirst = \"2d\"", "longer than bans.longest (1d)"),
    ("[bans.weights]\ncredential_unknwon = 5", "did you mean \"credential_unknown\"?"),
    ("[bans.weights]\nban_host = 5", "no reason that earns strikes"),
    ("[guard]\nrun = \"run\"", "not an absolute path"),
    ("[guard]\nuser = \"Root:0\"", "not the name of an account"),
    ("[admin]\nmetrics = \"127.0.0.1:8443\"", "taken by the listener"),
    ("[admin]\nmetrics = \"0.0.0.0:8443\"", "taken by the listener"),
    ("[log]\naccess = \"syslog\"", "no place for a log"),
    ("[proxy]\nbody = \"1MB\"", "not a size"),
    ("[proxy.timeouts]\nhead = \"0s\"", "from 10ms to 1d"),
    ("[proxy]\nconnections = 5", "over proxy.connections (5)"),
    ("[listener]\naddress = \"127.0.0.1:1\"", "write [[listener]]"),
    ("colour = 1", "unknown key \"colour\""),
    ("[[listener]]\naddress = \"0.0.0.0:443\"", "only a listener on loopback makes its own"),
    ("[[listener]]\naddress = \"127.0.0.1:9\"\nkey = \"/k\"", "listener[1].certificate"),
    ("[[listener]]\naddress = \"127.0.0.1:8443\"", "taken by another listener"),
    ("[[listener]]\naddress = \"0.0.0.0:8443\"\ncertificate = \"/c\"\nkey = \"/k\"", "taken by"),
    ("[[listener]]\naddress = \"[::ffff:127.0.0.1]:1\"", "write \"127.0.0.1:1\""),
    ("[[listener]]\naddress = \"localhost:1\"", "not an address with a port"),
    ("[[identity]]\nname = \"a\"", "api_key: is missing"),
    ("[[identity]]\nname = \"a\"\napi_key = { header = \"host\" }", "means something else"),
    ("[[identity]]\nname = \"A b\"\napi_key = {}", "is not a name"),
    ("[[supplier]]\nname = \"a\"\ntargets = []", "leads nowhere"),
    ("[[supplier]]\nname = \"echo\"\ntargets = [\"echo\"]", "given twice"),
    ("[[supplier]]\nname = \"a\"\ntargets = [\"http://127.0.0.1\"]", "add local = true"),
    ("[[supplier]]\nname = \"a\"\ntargets = [\"http://169.254.169.254\"]", "add local = true"),
    ("[[supplier]]\nname = \"a\"\ntargets = [\"http://[::ffff:127.0.0.1]\"]", "add local = true"),
    ("[[supplier]]\nname = \"a\"\ntargets = [\"http://a\"]\nca = \"/c\"", "of no use without"),
    (
        "[[route]]\nidentity = \"none\"\npath = \"/a\"\nsupplier = \"ecco\"",
        "did you mean \"echo\"?",
    ),
    ("[[route]]\npath = \"/a\"\nsupplier = \"echo\"\nidentity = \"x\"", "add a [[identity]]"),
    ("[[route]]\npath = \"/a\"\nsupplier = \"echo\"", "write identity = \"none\" if anyone may"),
    ("[[identity]]\nname = \"none\"\napi_key = {}", "means that a route is public"),
    ("[[route]]\nidentity = \"none\"\npath = \"a\"\nsupplier = \"echo\"", "does not start with /"),
    ("[[route]]\nidentity = \"none\"\npath = \"/a/../b\"\nsupplier = \"echo\"", "dot segment"),
    ("[[route]]\nidentity = \"none\"\npath = \"/a//b\"\nsupplier = \"echo\"", "empty segment"),
    ("[[route]]\nidentity = \"none\"\npath = \"/{*all}/b\"\nsupplier = \"echo\"", "before its end"),
    (
        "[[route]]\nidentity = \"none\"\npath = \"/a{b}\"\nsupplier = \"echo\"",
        "mixes {name} with other text",
    ),
    ("[[route]]\nidentity = \"none\"\npath = \"/%61\"\nsupplier = \"echo\"", "no plain path has"),
    (
        "[[route]]\nidentity = \"none\"\npath = \"/{*rest}\"\nsupplier = \"echo\"",
        "taken by the route on line",
    ),
    (
        "[[route]]\nidentity = \"none\"\npath = \"/{*other}\"\nsupplier = \"echo\"",
        "cannot be told apart",
    ),
    (
        "[[route]]\nidentity = \"none\"\npath = \"/a\"\nsupplier = \"echo\"\nmethods = [\"get\"]",
        "in capitals",
    ),
    (
        "[[route]]\nidentity = \"none\"\npath = \"/a\"\nsupplier = \"echo\"\nmethods = [\"TRACE\"]",
        "no method",
    ),
    (
        "[[route]]\nidentity = \"none\"\npath = \"/a\"\nsupplier = \"echo\"\nname = \"everything\"",
        "choose another name",
    ),
    (
        "[[route]]\nidentity = \"none\"\npath = \"/a\"\nsupplier = \"echo\"\nhost = \"a:443\"",
        "without port",
    ),
    (
        "[[route]]\nidentity = \"none\"\npath = \"/a\"\nsupplier = \"echo\"\npriority = \"urgent\"",
        "write \"high\" or \"normal\" or \"low\"",
    ),
];

#[test]
fn refuses_each_unfit_value_with_what_to_write_instead() {
    for (text, said) in REFUSED {
        let lines = bad(&with(text));
        assert!(lines.iter().any(|line| line.contains(said)), "{text}\n{lines:#?}");
    }
}

/// Each `cors` with what has to be said of it.
const REFUSED_CORS: &[(&str, &str)] = &[
    ("", "origins: is missing"),
    ("origins = []", "has no origin"),
    ("origins = [\"*\", \"https://a.example\"]", "\"*\" is every origin"),
    ("origins = [\"https://a.example/\"]", "is no origin"),
    ("origins = [\"a.example\"]", "is no origin"),
    ("origins = [\"https://A.example\"]", "is no origin"),
    ("origins = [\"https://*.com\"]", "half the Internet"),
    ("origins = [\"https://*.10.0.0.1\"]", "labels before an address"),
    ("origins = [\"*\"]\ncors.credentials = true", "its visitors' cookies"),
    ("origins = [\"null\"]\ncors.credentials = true", "any sandboxed frame"),
    ("origins = [\"http://a.example\"]\ncors.credentials = true", "whoever is on the way"),
    ("origins = [\"*\"]\ncors.private_network = true", "opens a private network"),
    ("origins = [\"https://a.example\"]\ncors.methods = [\"PUT\"]", "no method of this route"),
    ("origins = [\"https://a.example\"]\ncors.headers = [\"*\"]", "name each header"),
    ("origins = [\"https://a.example\"]\ncors.expose = [\"a b\"]", "name each header"),
    ("origins = [\"https://a.example\"]\ncors.max_age = \"7d\"", "write a time from"),
    ("origins = [\"https://a.example\"]\ncors.colour = 1", "unknown key \"colour\""),
];

#[test]
fn refuses_cors_that_gives_away_what_it_should_guard() {
    let route = "[[route]]\nidentity = \"none\"\npath = \"/a\"\nsupplier = \"echo\"\n\
                 methods = [\"GET\"]\n";
    for (cors, said) in REFUSED_CORS {
        let cors = if cors.is_empty() { "cors = {}".to_owned() } else { format!("cors.{cors}") };
        let lines = bad(&with(&format!("{route}{cors}")));
        assert!(lines.iter().any(|line| line.contains(said)), "{cors}\n{lines:#?}");
    }
    let lawful = "cors.origins = [\"http://localhost:3000\", \"https://*.example.com\"]\n\
                  cors.credentials = true";
    let config = good(&with(&format!("{route}{lawful}")));
    let cors = config.routes.iter().find_map(|route| route.cors.as_ref()).unwrap();
    assert_eq!((cors.origins.len(), &cors.methods[..]), (2, &[http::Method::GET][..]));
}

#[test]
fn a_faulty_supplier_does_not_make_its_routes_faulty() {
    let lines = bad("[[listener]]\naddress = \"127.0.0.1:1\"\n[[supplier]]\nname = \"a\"\n\
                     targets = [\"x\"]\n[[route]]\nidentity = \"none\"\npath = \"/\"\nsupplier = \"a\"\n");
    assert_eq!(lines.len(), 1, "{lines:#?}");
}

#[test]
fn routes_may_share_a_path_with_different_methods() {
    let route = |method: &str| {
        format!(
            "[[route]]\nidentity = \"none\"\npath = \"/p\"\nmethods = [\"{method}\"]\nsupplier = \"echo\"\n"
        )
    };
    let config = good(&with(&(route("GET") + &route("POST"))));
    assert_eq!(config.routes[0].name, "GET /p");
    assert_eq!(config.routes[1].name, "POST /p");
}

#[test]
fn both_families_may_be_listened_on_with_one_port() {
    let listener = |address: &str| {
        format!("[[listener]]\naddress = \"{address}\"\ncertificate = \"/c\"\nkey = \"/k\"\n")
    };
    let text = listener("0.0.0.0:443") + &listener("[::]:443");
    assert_eq!(good(&text).listeners.len(), 2);
}

#[test]
fn a_key_written_twice_is_told_beside_other_faults() {
    let lines = bad(&with("[bans]\nthreshold = 5\nthreshold = 6\nlongst = \"1h\"\n"));
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].starts_with("t.toml:3:1: duplicate key; write it once"));
    assert!(lines[1].contains("did you mean \"longest\"?"));
}

#[test]
fn text_that_is_not_toml_says_that_nothing_else_was_checked() {
    let lines = bad("[kernel\nmode = 5\n");
    assert!(lines[0].starts_with("t.toml:1:"), "{lines:#?}");
    assert!(lines.last().unwrap().contains("nothing else was checked"));
}

#[test]
fn nothing_to_do_is_a_fault_and_a_filter_alone_is_not() {
    assert!(bad("")[0].contains("nothing to guard and nothing to serve"));
    let unreachable = "[kernel]\ninterfaces = [\"eth0\"]\n[[supplier]]\nname = \"s\"\n\
                       targets = [\"echo\"]\n[[route]]\nidentity = \"none\"\npath = \"/\"\nsupplier = \"s\"\n";
    assert!(bad(unreachable)[0].contains("nobody can reach a route"));
    assert!(good("[kernel]\ninterfaces = [\"eth0\"]\n").kernel.enabled);
}

#[test]
fn reference_file_is_accepted_complete_and_shows_the_defaults() {
    let reference = good(REFERENCE);
    assert_eq!(reference.bans, defaults::bans());
    assert_eq!(reference.log, defaults::log());
    assert_eq!(reference.proxy, defaults::proxy());
    assert_eq!(reference.tls, defaults::tls());
    assert_eq!(reference.admin, defaults::admin());
    assert_eq!(
        reference.kernel,
        super::model::Kernel { listening: vec![80, 443], ..defaults::kernel() }
    );
    let log = super::FaultLog::new(REFERENCE);
    let tree = toml::de::DeTable::parse(REFERENCE).unwrap();
    super::sections::read(&mut super::Section::root(&log, tree.get_ref()));
    let asked = log.asked.borrow();
    let shape = |path: &str| path.split(['[', ']']).step_by(2).collect::<String>();
    let shown: Vec<String> =
        asked.iter().filter(|(_, there)| *there).map(|(path, _)| shape(path)).collect();
    for (path, _) in asked.iter() {
        assert!(shown.contains(&shape(path)), "{path} is missing in docs/reference.toml");
    }
}

#[test]
fn a_text_beyond_any_configuration_is_refused_unread() {
    assert!(bad(&"#".repeat(super::TEXT_BYTES + 1))[0].contains("too large"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        drop(load(&text, "t.toml"));
    }

    #[test]
    fn no_change_of_the_reference_makes_it_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), "[\"\\[\\]{}=.,a0é#\n/-]{0,3}"), 1..8),
    ) {
        let mut text: Vec<char> = REFERENCE.chars().collect();
        for (from, length, new) in changes {
            let from = from.index(text.len());
            let to = (from + length.index(12)).min(text.len());
            text.splice(from..to, new.chars());
        }
        drop(load(&text.into_iter().collect::<String>(), "t.toml").map_err(|f| f.to_string()));
    }

    #[test]
    fn whatever_routes_are_taken_the_matcher_takes_too(
        paths in prop::collection::vec("/(a|b|\\{x\\}|\\{y\\}|\\{\\*x\\}|)(/(a|\\{x\\}|\\{\\*y\\}|))?", 1..6),
    ) {
        let route = |path: &String| format!("[[route]]\nidentity = \"none\"\npath = \"{path}\"\nsupplier = \"s\"\n");
        let routes: String = paths.iter().map(route).collect();
        let text = format!(
            "[[listener]]\naddress = \"127.0.0.1:1\"\n[[supplier]]\nname = \"s\"\ntargets = [\"echo\"]\n{routes}"
        );
        if let Ok(config) = load(&text, "t.toml") {
            let mut router = matchit::Router::new();
            for route in &config.routes {
                router.insert(&route.path, ()).unwrap();
            }
        }
    }
}
