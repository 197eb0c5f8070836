//! `[acme]`, and the names that listeners leave to it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use super::{process::same_socket, target::host_name};
use crate::config::{
    fault::quoted,
    model::{Acme, Admin, Binding, Challenge, KeyKind, Listener, Managed},
    tree::{Entry, Section},
};

/// Names of one listener: each is an order of its own.
const NAMES: usize = 100;
const CONTACTS: usize = 8;

/// The folder inside `guard.state`.
const FOLDER: &str = "acme";

/// The port that authorities ask for HTTP-01 on (RFC 8555 section 8.3).
const HTTP_EXAMPLE: &str = "add http = \"0.0.0.0:80\" to [acme], or leave challenge out";

/// Reads `[acme]`; none where the file has none.
pub(super) fn read(
    root: &mut Section<'_>,
    (listeners, admin): (&[Listener], &Admin),
    state: &Path,
) -> Option<Acme> {
    let Some(entry) = root.get("acme") else {
        if listeners.iter().any(|listener| !listener.tls.managed.is_empty()) {
            root.refuse_here(
                "acme",
                "is missing: a listener leaves names to it",
                "add [acme] with directory and terms_agreed",
            );
        }
        return None;
    };
    let mut section = entry.section()?;
    let directory = section
        .need("directory", "\"https://acme-v02.api.letsencrypt.org/directory\"")
        .and_then(|entry| directory(&entry));
    terms(&mut section);
    let contacts = section.get("contacts").map_or(Some(Vec::new()), |entry| contacts(&entry));
    let challenge = section.choice(
        "challenge",
        Challenge::TlsAlpn01,
        &[("tls-alpn-01", Challenge::TlsAlpn01), ("http-01", Challenge::Http01)],
    );
    let key = section.choice(
        "key",
        KeyKind::EcdsaP256,
        &[("ecdsa-p256", KeyKind::EcdsaP256), ("ecdsa-p384", KeyKind::EcdsaP384)],
    );
    let authorities = section.get("authorities").map(|entry| entry.path());
    let binding = section.get("binding").map(|entry| binding(&entry));
    let http = section.get("http").map(|entry| http(&entry, listeners, admin));
    if challenge == Challenge::Http01 && http.is_none() {
        section.refuse_inside("challenge", "needs a listener without TLS", HTTP_EXAMPLE);
    }
    section.finish();
    let (directory, host) = directory?;
    Some(Acme {
        directory,
        host,
        contacts: contacts?,
        challenge,
        key,
        authorities: optional(authorities)?,
        binding: optional(binding)?,
        http: optional(http)?,
        account: state.join(FOLDER).join("account.json"),
    })
}

/// What is there and wrong makes the whole nothing.
#[expect(clippy::option_option, reason = "left out, wrong, or read")]
fn optional<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        Some(read) => read.map(Some),
        None => Some(None),
    }
}

fn terms(section: &mut Section<'_>) {
    if !section.flag("terms_agreed", false) {
        section.refuse_inside(
            "terms_agreed",
            "is not true: authorities issue nothing without",
            "read the authority's terms of service, and add terms_agreed = true",
        );
    }
}

/// The URL, and its host.
fn directory(entry: &Entry<'_>) -> Option<(String, String)> {
    let text = entry.text()?;
    let parsed: Option<http::Uri> = text.parse().ok();
    let lawful = |uri: &http::Uri| {
        let authority = uri.authority()?;
        let plain = uri.scheme_str() == Some("https") && !authority.as_str().contains('@');
        plain.then(|| authority.host().to_ascii_lowercase())
    };
    let host = parsed.as_ref().and_then(lawful);
    if host.is_none() {
        entry.refuse(
            format!("{} is not a directory's URL", quoted(text)),
            "write one such as \"https://acme-v02.api.letsencrypt.org/directory\"",
        );
    }
    host.map(|host| (text.to_owned(), host))
}

fn contacts(list: &Entry<'_>) -> Option<Vec<String>> {
    list.list(CONTACTS).iter().map(contact).collect()
}

fn contact(entry: &Entry<'_>) -> Option<String> {
    let text = entry.text()?;
    let address = text.strip_prefix("mailto:").unwrap_or(text);
    let mail = |(user, host): (&str, &str)| !user.is_empty() && host_name(host).is_some();
    let visible = address.bytes().all(|byte| byte.is_ascii_graphic() && !b",?".contains(&byte));
    if visible && address.len() <= 254 && address.split_once('@').is_some_and(mail) {
        return Some(format!("mailto:{address}"));
    }
    entry.refuse(
        format!("{} is not an e-mail address", quoted(text)),
        "write one such as \"ops@example.com\"",
    );
    None
}

fn binding(entry: &Entry<'_>) -> Option<Binding> {
    let mut section = entry.section()?;
    let key_id = section.need("key_id", "\"kid-1\"").and_then(|entry| entry.text());
    let key_file =
        section.need("key_file", "\"/etc/gateway/acme/eab.key\"").and_then(|entry| entry.path());
    section.finish();
    Some(Binding { key_id: key_id?.to_owned(), key_file: key_file? })
}

fn http(entry: &Entry<'_>, listeners: &[Listener], admin: &Admin) -> Option<SocketAddr> {
    let address = entry.socket()?;
    let others = listeners.iter().map(|listener| listener.address).chain(admin.metrics);
    if let Some(other) = others.into_iter().find(|other| same_socket(*other, address)) {
        entry.refuse(format!("\"{address}\" is taken by {other}"), "choose another port");
        return None;
    }
    Some(address)
}

/// `acme` of a listener.
pub(super) fn names(list: &Entry<'_>, state: &Path) -> Option<Vec<Managed>> {
    let entries = list.list(NAMES);
    let names: Vec<Managed> =
        entries.iter().map(|entry| name(entry, state)).collect::<Option<_>>()?;
    for (place, (one, entry)) in names.iter().zip(&entries).enumerate() {
        if names.iter().take(place).any(|other| other == one) {
            entry.refuse(format!("{} is there twice", quoted(&one.name)), "leave one out");
            return None;
        }
    }
    if names.is_empty() {
        list.refuse("names nothing", "write acme = [\"www.example.com\"], or leave it out");
        return None;
    }
    Some(names)
}

fn name(entry: &Entry<'_>, state: &Path) -> Option<Managed> {
    let text = entry.text()?;
    if text.contains('*') {
        entry.refuse(
            format!("{} is a wildcard, which HTTP-01 and TLS-ALPN-01 cannot prove", quoted(text)),
            "write each name, or install a certificate by certificate and key",
        );
        return None;
    }
    let known = host_name(text).filter(|name| name.contains('.') && !is_address(name));
    let Some(name) = known else {
        entry.refuse(
            format!("{} is not a whole host name", quoted(text)),
            "write one such as \"www.example.com\"",
        );
        return None;
    };
    let file: PathBuf = state.join(FOLDER).join(format!("{name}.pem"));
    Some(Managed { name, file })
}

fn is_address(name: &str) -> bool {
    name.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{load, model::Challenge};

    const ACME: &str =
        "[acme]\ndirectory = \"https://acme.example/directory\"\nterms_agreed = true\n";

    fn read(acme: &str, names: &str) -> Result<crate::config::model::Config, String> {
        let text = format!("{acme}\n[[listener]]\naddress = \"0.0.0.0:443\"\nacme = {names}\n");
        load(&text, "t.toml").map_err(|faults| faults.to_string())
    }

    #[test]
    fn names_are_kept_in_the_state_folder_and_the_challenge_needs_no_port_80() {
        let config = read(ACME, "[\"Www.Example.com\", \"example.com\"]").unwrap();
        let acme = config.acme.as_ref().unwrap();
        assert_eq!((acme.challenge, acme.http), (Challenge::TlsAlpn01, None));
        assert_eq!(acme.host, "acme.example");
        let names: Vec<_> = config.managed().iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["example.com", "www.example.com"]);
        let file = Path::new("acme/www.example.com.pem");
        assert!(config.listeners[0].tls.managed[0].file.ends_with(file));
    }

    #[test]
    fn what_cannot_be_issued_is_a_fault() {
        let refused = |names: &str| read(ACME, names).unwrap_err();
        assert!(refused("[\"*.example.com\"]").contains("wildcard"));
        for name in ["localhost", "192.0.2.1", "../../etc/passwd", "a/b.example", "a..b", ""] {
            assert!(refused(&format!("[\"{name}\"]")).contains("host name"), "{name}");
        }
        assert!(refused("[\"a.example\", \"A.example\"]").contains("twice"));
        assert!(refused("[]").contains("names nothing"));
        assert!(read("", "[\"a.example\"]").unwrap_err().contains("leaves names"));
    }

    #[test]
    fn terms_are_agreed_to_in_so_many_words_and_http_01_needs_its_listener() {
        let names = "[\"a.example\"]";
        let silent = ACME.replace("terms_agreed = true", "");
        assert!(read(&silent, names).unwrap_err().contains("terms_agreed"));
        let plain = ACME.replace("https:", "http:");
        assert!(read(&plain, names).unwrap_err().contains("directory's URL"));
        let http = format!("{ACME}challenge = \"http-01\"\n");
        assert!(read(&http, names).unwrap_err().contains("without TLS"));
        let config = read(&format!("{http}http = \"0.0.0.0:80\"\n"), names).unwrap();
        assert_eq!(config.kernel.listening, [80, 443]);
        let taken = read(&format!("{http}http = \"192.0.2.1:443\"\n"), names).unwrap_err();
        assert!(taken.contains("taken"), "{taken}");
        let contact = read(&format!("{ACME}contacts = [\"nobody\"]\n"), names).unwrap_err();
        assert!(contact.contains("e-mail"), "{contact}");
    }
}
