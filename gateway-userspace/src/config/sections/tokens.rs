//! `[[identity]]` by access tokens: `oidc`, `jwks`, `jwks_file` or `introspection`, and what goes with
//! them.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::config::{
    defaults,
    fault::quoted,
    model::{Algorithm, Dpop, Introspection, KeySource, Origin, Pair, Sender, Tokens, Url, Way},
    tree::{Entry, Section},
};

/// The folder inside `guard.state`.
const FOLDER: &str = "keys";

const WELL_KNOWN: &str = "/.well-known/openid-configuration";

const LISTED: usize = 16;
const NAME_BYTES: usize = 512;
const LEEWAY: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_mins(5);
const REFRESH: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_hours(24);
const STALE: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_hours(24 * 30);
const CACHE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(1);
const WINDOW: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_mins(10);

/// FAPI 2.0 section 5.3.2.1 item 13: clocks that are further apart are not.
const FAPI2_LEEWAY: Duration = Duration::from_mins(1);

/// Keys of `[[identity]]` that stand for tokens.
const SOURCES: [&str; 4] = ["oidc", "jwks", "jwks_file", "introspection"];

/// Whether the section is about tokens.
pub(super) fn is_meant(section: &Section<'_>) -> bool {
    section.entries().iter().any(|(key, _)| SOURCES.contains(key))
}

/// Reads all keys about tokens; what is wrong is noted.
pub(super) fn read(section: &mut Section<'_>, name: &str, state: &Path) -> Option<Tokens> {
    let fapi2 = section.get("profile").map(|entry| entry.choice(&[("fapi2", true)]));
    let fapi2 = matches!(fapi2, Some(Some(true)));
    let way = way(section);
    let local = way.as_ref().is_some_and(|way| way.local);
    let source = source(section, local);
    let introspection =
        section.get("introspection").map(|entry| introspection(&entry, way.as_ref()));
    let audiences = section
        .need("audience", "\"payments\"")
        .map(|entry| one_or_more(&entry))
        .filter(|all| !all.is_empty());
    let types = section.get("types").map_or_else(defaults::token_types, |entry| types(&entry));
    let algorithms = section.get("algorithms").map(|entry| algorithms(&entry, fapi2));
    let algorithms = algorithms.unwrap_or_else(|| lawful(fapi2).to_vec());
    let leeway = section.time("leeway", defaults::TOKEN_LEEWAY, LEEWAY);
    let refresh = section.time("refresh", defaults::KEYS_REFRESH, REFRESH);
    let lasting = section.time("stale", defaults::KEYS_STALE, STALE);
    let dpop = dpop(section, fapi2);
    let sender = sender(section, fapi2, &dpop);
    if fapi2 && leeway > FAPI2_LEEWAY {
        section.refuse_inside("leeway", "is more than fapi2 allows", "write \"1m\" at most");
    }
    let introspection = match introspection {
        Some(read) => Some(read?),
        None => None,
    };
    let (issuer, keys) = source?;
    Some(Tokens {
        issuer,
        keys,
        introspection,
        audiences: audiences?,
        types,
        algorithms,
        leeway,
        refresh,
        stale: lasting,
        way: way?,
        sender,
        dpop,
        kept: state.join(FOLDER).join(format!("{name}.json")),
    })
}

/// Issuer and keys, by the one key that says where they are.
fn source(section: &mut Section<'_>, local: bool) -> Option<(String, KeySource)> {
    let (oidc, jwks) = (section.get("oidc"), section.get("jwks"));
    let (file, issuer) = (section.get("jwks_file"), section.get("issuer"));
    let given = [oidc.is_some(), jwks.is_some(), file.is_some()];
    if given.iter().filter(|given| **given).count() > 1 {
        section.refuse_here("oidc", "is one of several sources of keys", "leave one of them");
        return None;
    }
    if let Some(oidc) = oidc {
        if let Some(issuer) = issuer {
            issuer.refuse("is what oidc says already", "leave it out");
        }
        let issuer = oidc.text()?;
        let place = url(&oidc, &format!("{}{WELL_KNOWN}", issuer.trim_end_matches('/')), local)?;
        return Some((issuer.to_owned(), KeySource::Discovery(place)));
    }
    let Some(issuer) = issuer else {
        section.refuse_here("issuer", "is missing", "add issuer = \"https://id.example.com\"");
        return None;
    };
    let issuer = issuer.text()?.to_owned();
    let keys = match (jwks, file) {
        (Some(jwks), _) => KeySource::Jwks(url(&jwks, jwks.text()?, local)?),
        (None, Some(file)) => KeySource::File(file.path()?),
        (None, None) => KeySource::None,
    };
    Some((issuer, keys))
}

fn url(entry: &Entry<'_>, text: &str, local: bool) -> Option<Url> {
    match Url::read(text, local) {
        Ok(url) => Some(url),
        Err((what, instead)) => {
            entry.refuse(format!("{} {what}", quoted(text)), instead);
            None
        }
    }
}

fn way(section: &mut Section<'_>) -> Option<Way> {
    let ca = section.get("ca").map(|entry| entry.path());
    let certificate = section.get("client").map(|entry| {
        let mut pair = entry.section()?;
        let mut path = |key, example| pair.need(key, example).and_then(|entry| entry.path());
        let certificate = path("certificate", "\"/etc/gateway/tls/client.pem\"");
        let key = path("key", "\"/etc/gateway/tls/client.key\"");
        pair.finish();
        Some(Pair { certificate: certificate?, key: key? })
    });
    let local = section.flag("local", false);
    let ca: Option<PathBuf> = match ca {
        Some(read) => Some(read?),
        None => None,
    };
    let certificate = match certificate {
        Some(read) => Some(read?),
        None => None,
    };
    Some(Way { ca, certificate, local })
}

fn introspection(entry: &Entry<'_>, way: Option<&Way>) -> Option<Introspection> {
    let mut section = entry.section()?;
    let local = way.is_some_and(|way| way.local);
    let url = section
        .need("url", "\"https://id.example.com/introspect\"")
        .and_then(|entry| url(&entry, entry.text()?, local));
    let client_id = section.need("client_id", "\"gateway\"").and_then(|entry| short(&entry));
    let secret = section.get("secret_file").map(|entry| entry.path());
    let cache = section.time("cache", defaults::INTROSPECTION_CACHE, CACHE);
    if secret.is_none() && way.is_some_and(|way| way.certificate.is_none()) {
        section.refuse_inside(
            "secret_file",
            "is missing, and there is no client certificate: nobody would answer",
            "add secret_file = \"/etc/gateway/introspection.secret\", or client to the identity",
        );
    }
    section.finish();
    let secret = match secret {
        Some(read) => Some(read?),
        None => None,
    };
    Some(Introspection { url: url?, client_id: client_id?, secret, cache })
}

fn short(entry: &Entry<'_>) -> Option<String> {
    let text = entry.text()?;
    if (1..=NAME_BYTES).contains(&text.len()) && !text.chars().any(char::is_control) {
        return Some(text.to_owned());
    }
    entry.refuse("is empty, too long, or not text", format!("write {NAME_BYTES} bytes at most"));
    None
}

fn one_or_more(entry: &Entry<'_>) -> Vec<String> {
    if entry.is_text_at_all() {
        return short(entry).into_iter().collect();
    }
    let all: Vec<String> = entry.list(LISTED).iter().filter_map(short).collect();
    if all.is_empty() {
        entry.refuse("names nobody", "write whom tokens are for, such as \"payments\"");
    }
    all
}

fn types(entry: &Entry<'_>) -> Vec<String> {
    let plain = |text: String| {
        let text = text.to_ascii_lowercase();
        text.strip_prefix("application/").unwrap_or(&text).to_owned()
    };
    one_or_more(entry).into_iter().map(plain).collect()
}

fn lawful(fapi2: bool) -> &'static [Algorithm] {
    if fapi2 { &Algorithm::FAPI2 } else { &Algorithm::ALL }
}

fn algorithms(entry: &Entry<'_>, fapi2: bool) -> Vec<Algorithm> {
    let named = |entry: &Entry<'_>| {
        let name = entry.text()?;
        let known = Algorithm::from_name(name).filter(|one| lawful(fapi2).contains(one));
        if known.is_none() {
            let names: Vec<_> = lawful(fapi2).iter().map(|one| one.name()).collect();
            let what = format!("{} is no algorithm that is taken", quoted(name));
            entry.refuse(what, format!("write some of {}", names.join(", ")));
        }
        known
    };
    let all: Vec<_> = entry.list(LISTED).iter().filter_map(named).collect();
    if all.is_empty() {
        entry.refuse("leaves no algorithm", "leave it out, or name one such as \"ES256\"");
    }
    all
}

fn dpop(section: &mut Section<'_>, fapi2: bool) -> Dpop {
    let Some(entry) = section.get("dpop") else { return defaults::dpop() };
    let Some(mut inner) = entry.section() else { return defaults::dpop() };
    let origins = inner
        .need("origins", "[\"https://api.example.com\"]")
        .map(|list| list.list(LISTED).iter().filter_map(origin).collect())
        .unwrap_or_default();
    let dpop = Dpop {
        origins,
        nonce: inner.flag("nonce", false),
        window: inner.time("window", defaults::DPOP_WINDOW, WINDOW),
    };
    if fapi2 && dpop.window > FAPI2_LEEWAY {
        inner.refuse_inside("window", "is more than fapi2 allows", "write \"1m\" at most");
    }
    inner.finish();
    dpop
}

/// An origin as clients write it into their proofs.
fn origin(entry: &Entry<'_>) -> Option<String> {
    let text = entry.text()?;
    let lawful = |origin: &Origin| origin.scheme == "https" || origin.is_loopback();
    if Origin::read(text).as_ref().is_some_and(lawful) {
        return Some(text.to_owned());
    }
    let what = format!("{} is not an origin that clients know us by", quoted(text));
    entry.refuse(what, "write one such as \"https://api.example.com\"");
    None
}

fn sender(section: &mut Section<'_>, fapi2: bool, dpop: &Dpop) -> Sender {
    let default = if fapi2 { Sender::Required } else { Sender::Optional };
    let choices = [
        ("optional", Sender::Optional),
        ("required", Sender::Required),
        ("certificate", Sender::Certificate),
        ("dpop", Sender::Dpop),
    ];
    let sender = section.choice("sender", default, &choices);
    if fapi2 && sender == Sender::Optional {
        section.refuse_inside(
            "sender",
            "takes tokens that are bound to nobody, and fapi2 does not",
            "write \"required\", \"certificate\" or \"dpop\"",
        );
    }
    if sender == Sender::Dpop && dpop.origins.is_empty() {
        section.refuse_inside(
            "sender",
            "asks for proofs, which say what URL they are for",
            "add dpop = { origins = [\"https://api.example.com\"] }",
        );
    }
    sender
}

#[cfg(test)]
mod tests {
    use crate::config::{
        load,
        model::{Algorithm, IdentityMethod, KeySource, Sender, Tokens},
    };

    const OIDC: &str = "oidc = \"https://id.example.com\"\naudience = \"payments\"\n";

    fn read(identity: &str) -> Result<Tokens, String> {
        let text = format!(
            "[guard]\nstate = \"/s\"\n[[listener]]\naddress = \"127.0.0.1:1\"\n[[identity]]\nname = \"customers\"\n{identity}"
        );
        let config = load(&text, "t.toml").map_err(|faults| faults.to_string())?;
        match config.identities[0].method.clone() {
            IdentityMethod::Tokens(tokens) => Ok(*tokens),
            IdentityMethod::ApiKey { .. } => Err("not by tokens".to_owned()),
        }
    }

    #[test]
    fn two_lines_are_enough_and_the_rest_is_safe() {
        let tokens = read(OIDC).unwrap();
        assert_eq!(tokens.issuer, "https://id.example.com");
        let KeySource::Discovery(url) = &tokens.keys else { panic!("{:?}", tokens.keys) };
        assert_eq!(url.text, "https://id.example.com/.well-known/openid-configuration");
        assert_eq!(tokens.audiences, ["payments"]);
        assert_eq!(tokens.types, ["at+jwt"]);
        assert_eq!(tokens.sender, Sender::Optional);
        assert_eq!(tokens.kept, std::path::Path::new("/s/keys/customers.json"));
        assert_eq!(tokens.hosts().collect::<Vec<_>>(), ["id.example.com"]);
    }

    #[test]
    fn every_source_says_whose_tokens_they_are() {
        let by = |source: &str| read(&format!("{source}\naudience = [\"a\", \"b\"]\n"));
        assert!(by("jwks = \"https://id.example.com/keys\"").unwrap_err().contains("issuer"));
        let url = by("jwks = \"https://id.example.com/keys\"\nissuer = \"me\"").unwrap();
        assert!(matches!(url.keys, KeySource::Jwks(_)) && url.issuer == "me");
        let file = by("jwks_file = \"/k.json\"\nissuer = \"me\"").unwrap();
        assert_eq!(file.files().count(), 1);
        let both =
            by("oidc = \"https://a.example\"\njwks = \"https://b.example\"\nissuer = \"me\"");
        assert!(both.unwrap_err().contains("several sources"));
        let introspection = "introspection = { url = \"https://id.example.com/i\", client_id = \"g\", secret_file = \"/s\" }\nissuer = \"me\"";
        let opaque = by(introspection).unwrap();
        assert!(opaque.keys == KeySource::None && opaque.introspection.is_some());
        let nameless = introspection.replace(", secret_file = \"/s\"", "");
        assert!(by(&nameless).unwrap_err().contains("nobody would answer"));
    }

    #[test]
    fn what_would_take_tokens_too_easily_is_a_fault() {
        for (more, told) in [
            ("algorithms = [\"HS256\"]", "no algorithm"),
            ("algorithms = [\"none\"]", "no algorithm"),
            ("algorithms = []", "leaves no algorithm"),
            ("leeway = \"1h\"", "out of range"),
            ("sender = \"dpop\"", "what URL"),
            ("dpop = { origins = [\"http://api.example.com\"] }", "not an origin"),
            ("client = { certificate = \"/c\" }", "key"),
        ] {
            let refused = read(&format!("{OIDC}{more}\n")).unwrap_err();
            assert!(refused.contains(told), "{more}: {refused}");
        }
        let plain = OIDC.replace("https://", "http://");
        assert!(read(&plain).unwrap_err().contains("not https"));
        assert!(read("oidc = \"https://id.example.com\"\n").unwrap_err().contains("audience"));
        assert!(read(&OIDC.replace("\"payments\"", "[]")).unwrap_err().contains("nobody"));
    }

    #[test]
    fn fapi2_turns_on_and_refuses_less() {
        let fapi2 = format!("{OIDC}profile = \"fapi2\"\n");
        let tokens = read(&fapi2).unwrap();
        assert_eq!(tokens.sender, Sender::Required);
        assert_eq!(tokens.algorithms, Algorithm::FAPI2);
        for (weaker, told) in [
            ("sender = \"optional\"", "bound to nobody"),
            ("algorithms = [\"RS256\"]", "no algorithm"),
            ("leeway = \"2m\"", "fapi2 allows"),
            ("dpop = { origins = [\"https://a.example\"], window = \"5m\" }", "fapi2 allows"),
        ] {
            let refused = read(&format!("{fapi2}{weaker}\n")).unwrap_err();
            assert!(refused.contains(told), "{weaker}: {refused}");
        }
    }
}
