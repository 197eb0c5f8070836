//! A message as a signature sees it: what it is for, and its fields.

use http::{HeaderMap, StatusCode};

/// A request or a response.
#[derive(Debug, Clone, Copy)]
pub enum Message<'m> {
    Request(Request<'m>),
    Response(Response<'m>),
}

/// A request, with its target in parts. The scheme and authority are what the client asked for,
/// which a proxy in between may have to say.
#[derive(Debug, Clone, Copy)]
pub struct Request<'m> {
    pub method: &'m str,
    pub scheme: &'m str,
    pub authority: &'m str,
    pub path: &'m str,
    pub query: Option<&'m str>,
    pub fields: &'m HeaderMap,
}

/// A response, and what it answers if that may be covered too.
#[derive(Debug, Clone, Copy)]
pub struct Response<'m> {
    pub status: StatusCode,
    pub fields: &'m HeaderMap,
    pub request: Option<Request<'m>>,
}

impl Request<'_> {
    /// Lower case, without the port that the scheme implies (RFC 9421 section 2.2.3).
    pub(super) fn normal_authority(&self) -> String {
        let authority = self.authority.to_ascii_lowercase();
        let implied = if self.scheme.eq_ignore_ascii_case("http") { ":80" } else { ":443" };
        authority.strip_suffix(implied).map_or(authority.clone(), str::to_owned)
    }

    /// Never empty (section 2.2.6).
    pub(super) fn normal_path(&self) -> &str {
        if self.path.is_empty() { "/" } else { self.path }
    }

    /// Path and query as a request line has them.
    pub(super) fn target(&self) -> String {
        let [mark, query] = self.query.map(|query| ["?", query]).unwrap_or_default();
        [self.normal_path(), mark, query].concat()
    }
}
