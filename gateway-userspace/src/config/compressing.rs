//! Content codings of a route: the part of the model for packed bodies, both ways.

use super::model::Config;

/// Routes named in the warning.
const NAMED: usize = 16;

/// A content coding that the gateway reads and writes (RFC 9110 section 8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    Gzip,
    /// RFC 7932.
    Brotli,
    /// RFC 8878, with the window of RFC 9659.
    Zstd,
}

impl Coding {
    pub const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    /// As `Content-Encoding` has it.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// The coding of this name in any letter case; `x-gzip` is `gzip` (RFC 9110 section 8.4.1.3).
    pub fn named(name: &[u8]) -> Option<Self> {
        let is = |coding: &Self| name.eq_ignore_ascii_case(coding.token().as_bytes());
        let old = name.eq_ignore_ascii_case(b"x-gzip").then_some(Self::Gzip);
        Self::ALL.into_iter().find(is).or(old)
    }
}

/// `compress`: which answers are packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compress {
    /// The more wanted before the less.
    pub codings: Vec<Coding>,
    /// Media types in lower case; a `*` at either end stands for anything.
    pub types: Vec<String>,
    /// Shorter answers stay as they are.
    pub bytes: u64,
    /// Also answers to who is known by what a browser sends by itself (BREACH).
    pub credentials: bool,
}

/// `encoded`: what becomes of a request body with a content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoded {
    /// It goes to the supplier as it is.
    Pass,
    /// The supplier gets it decoded, within the route's `body` and this ratio.
    Decode {
        ratio: u32,
    },
    Refuse,
}

/// A line for the routes whose lengths may tell secrets.
pub(super) fn warnings(config: &Config) -> Option<String> {
    let told = |compress: &Compress| compress.credentials;
    let routes = config.routes.iter().filter(|route| route.compress.as_ref().is_some_and(told));
    let names: Vec<&str> = routes.map(|route| &*route.name).take(NAMED).collect();
    (!names.is_empty()).then(|| {
        let names = names.join(", ");
        format!(
            "compress.credentials packs answers to callers that a browser makes known by itself ({names}): where such an answer holds a secret beside text of the request, its length tells the secret (BREACH)"
        )
    })
}

#[cfg(test)]
mod tests {
    use crate::config::{self, testing::sample};

    #[test]
    fn packing_for_cookies_is_warned_of_and_the_usual_is_not() {
        let route = |keys: &str| {
            sample(&format!(
                "[[route]]\npath = \"/\"\nname = \"shop\"\nsupplier = \"echo\"\nidentity = \"none\"\n{keys}\n"
            ))
        };
        assert!(config::warnings(&route("compress = true")).is_empty());
        let told = config::warnings(&route("compress = { credentials = true }"));
        assert!(told.len() == 1 && told[0].contains("(shop)"), "{told:?}");
    }
}
