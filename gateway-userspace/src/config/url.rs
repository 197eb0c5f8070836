//! URLs that the gateway itself asks: one reading, for those of the configuration and for those that
//! a provider names.

use super::{
    model::{Host, Protocol},
    sections::target,
};

/// Bytes of a URL, at most.
const LONGEST: usize = 2048;

/// Where a question goes: https, or http within this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// As it was written.
    pub text: String,
    pub tls: bool,
    pub host: Host,
    pub port: u16,
    /// Host and port as written.
    pub authority: String,
    /// Path and query; begins with a slash.
    pub path: String,
}

/// What is wrong with a URL, and what to write.
pub type Wrong = (&'static str, &'static str);

impl Url {
    /// Reads `https://host:port/path`. Without TLS only to loopback, and only where `local` says that
    /// this is meant.
    pub fn read(text: &str, local: bool) -> Result<Self, Wrong> {
        const FORM: Wrong = ("is not a URL", "write one such as \"https://id.example.com/keys\"");
        let visible =
            text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\\"<>".contains(&byte));
        let (scheme, rest) = text.split_once("://").ok_or(FORM)?;
        if !visible || text.len() > LONGEST {
            return Err(FORM);
        }
        if text.contains('#') {
            return Err(("has a fragment", "leave out what begins with #"));
        }
        if !matches!(scheme, "https" | "http") {
            return Err(("is not https", "write https://"));
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).ok_or(FORM)?;
        let found = target::parse(&format!("{scheme}://{authority}"), Protocol::Http1)?;
        let meant = local && is_loopback(&found.host);
        if !found.tls && !meant {
            return Err(("is not https", "write https://; http is for loopback with local = true"));
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self {
            text: text.to_owned(),
            tls: found.tls,
            host: found.host,
            port: found.port,
            authority: authority.to_owned(),
            path: format!("{slash}{path}"),
        })
    }

    /// The host without brackets, as names are looked up and certificates compared.
    pub fn host(&self) -> String {
        match &self.host {
            Host::Name(name) => name.clone(),
            Host::Address(address) => address.to_string(),
        }
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_loopback(host: &Host) -> bool {
    match host {
        Host::Name(name) => name == "localhost" || name.ends_with(".localhost"),
        Host::Address(address) => address.to_canonical().is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_host_port_and_path() {
        let url = Url::read("https://ID.example.com:8443/a/b?c=d", false).unwrap();
        assert_eq!((url.host().as_str(), url.port, url.tls), ("id.example.com", 8443, true));
        assert_eq!(
            (url.authority.as_str(), url.path.as_str()),
            ("ID.example.com:8443", "/a/b?c=d")
        );
        let bare = Url::read("https://[2001:db8::1]", false).unwrap();
        assert_eq!((bare.host().as_str(), bare.port, &*bare.path), ("2001:db8::1", 443, "/"));
        assert_eq!(Url::read("https://a.example?x=1", false).unwrap().path, "/?x=1");
        assert!(!Url::read("http://127.0.0.1:9/k", true).unwrap().tls);
    }

    #[test]
    fn refuses_what_is_not_https_or_hides_where_it_leads() {
        for text in [
            "http://id.example.com/",
            "http://127.0.0.1/",
            "ftp://id.example.com/",
            "https://user@id.example.com/",
            "https://id.example.com@evil.example/",
            "https://id.example.com\\@evil.example/",
            "https://id.example.com/#x",
            "https://",
            "https:///path",
            "https://id.example.com:0/",
            "https://2130706433/",
            "https://id.example.com/a b",
            "https://id.example.com/\r\nX: y",
            "id.example.com",
            "",
        ] {
            assert!(Url::read(text, false).is_err(), "{text}");
        }
        assert!(Url::read("http://192.0.2.1/", true).is_err());
        assert!(Url::read(&format!("https://a.example/{}", "a".repeat(3000)), false).is_err());
    }
}
