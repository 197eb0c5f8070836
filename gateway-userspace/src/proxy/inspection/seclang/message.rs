//! Fills a transaction: from the head of a request, its body, and the answer.

use std::borrow::Cow;

use super::{
    transaction::{Head, Transaction},
    variable::Variable,
};
use crate::proxy::inspection::transform::percent;

/// What a body came to: named values, and what was wrong with it.
#[derive(Debug, Default)]
pub struct Body {
    /// Which processor read it, such as `JSON`; empty for none.
    pub processor: &'static str,
    pub arguments: Vec<(Vec<u8>, Vec<u8>)>,
    /// Of each file: the name of its field, its own name, and its size.
    pub files: Vec<(Vec<u8>, Vec<u8>, usize)>,
    /// Other values, by variable: the parser's flags, headers of parts, texts of XML.
    pub more: Vec<(Variable, Vec<u8>, Vec<u8>)>,
    /// Why it could not be read.
    pub error: Option<String>,
}

impl Transaction {
    /// The request's head. Phase 1 can run then.
    pub fn head(&mut self, head: &Head<'_>) {
        let (raw_path, query) = head.target.split_once('?').unwrap_or((head.target, ""));
        let path = percent::unescape(raw_path.as_bytes());
        let base = path.rsplit(|byte| matches!(byte, b'/' | b'\\')).next().unwrap_or_default();
        let line = format!("{} {} {}", head.method, head.target, head.protocol);
        let mut one = |variable, value: &[u8]| self.put(variable, value);
        one(Variable::RequestMethod, head.method.as_bytes());
        // As ModSecurity has it: what stands in it escaped twice is still escaped once.
        one(Variable::RequestUri, &percent::unescape(head.target.as_bytes()));
        one(Variable::RequestUriRaw, head.target.as_bytes());
        one(Variable::RequestProtocol, head.protocol.as_bytes());
        one(Variable::RequestLine, line.as_bytes());
        one(Variable::RequestFilename, &path);
        one(Variable::RequestBasename, base);
        one(Variable::PathInfo, &path);
        one(Variable::QueryString, query.as_bytes());
        one(Variable::RemoteAddr, head.client.to_string().as_bytes());
        one(Variable::RemoteHost, head.client.to_string().as_bytes());
        one(Variable::RemotePort, head.client_port.to_string().as_bytes());
        one(Variable::ServerAddr, head.server.ip().to_string().as_bytes());
        one(Variable::ServerPort, head.server.port().to_string().as_bytes());
        one(Variable::UniqueId, head.id.as_bytes());
        one(Variable::ModsecBuild, b"030000100");
        for flag in [Variable::UrlencodedError, Variable::ReqbodyError, Variable::InboundDataError]
        {
            one(flag, b"0");
        }
        self.times(head.epoch);
        self.request_fields(&head.fields);
        let mut arguments = Vec::new();
        let broken = pairs(query.as_bytes(), &mut arguments);
        if broken {
            self.put(Variable::UrlencodedError, b"1");
        }
        let most = self.set.bodies.arguments;
        for (name, value) in arguments.into_iter().take(most) {
            self.argument((Variable::ArgsGet, Variable::ArgsGetNames), &name, &value);
        }
        self.sizes();
    }

    fn request_fields(&mut self, fields: &[(&[u8], &[u8])]) {
        for (name, value) in fields {
            self.add(Variable::RequestHeaders, name, value);
            self.add(Variable::RequestHeadersNames, name, name);
            if name.eq_ignore_ascii_case(b"cookie") {
                self.cookies(value);
            }
            if name.eq_ignore_ascii_case(b"host") {
                let host = value.split(|byte| *byte == b':').next().unwrap_or_default();
                self.put(Variable::ServerName, host);
            }
        }
    }

    fn cookies(&mut self, value: &[u8]) {
        for pair in value.split(|byte| *byte == b';') {
            let pair = pair.trim_ascii();
            if pair.is_empty() {
                continue;
            }
            let (name, value) = named(pair);
            self.add(Variable::RequestCookies, name, value);
            self.add(Variable::RequestCookiesNames, name, name);
        }
    }

    fn argument(&mut self, of: (Variable, Variable), name: &[u8], value: &[u8]) {
        self.add(of.0, name, value);
        self.add(of.1, name, name);
        self.add(Variable::Args, name, value);
        self.add(Variable::ArgsNames, name, name);
    }

    fn sizes(&mut self) {
        let size = |this: &Self, field: &super::transaction::Field| {
            this.texts.get(field.key).len() + this.texts.get(field.value).len()
        };
        let total: usize = self.fields(Variable::Args).iter().map(|field| size(self, field)).sum();
        self.put(Variable::ArgsCombinedSize, total.to_string().as_bytes());
    }

    /// Whether the rules want to see the request's body, and by which processor it is to be read:
    /// what a rule set, else what the media type says.
    pub fn processor(&self) -> Option<Cow<'static, str>> {
        if !self.reads_request.unwrap_or(self.set.bodies.request) {
            return None;
        }
        let set = self.one(Variable::ReqbodyProcessor);
        let set = set.and_then(|name| std::str::from_utf8(&name).ok().map(str::to_owned));
        if let Some(name) = set.filter(|name| !name.is_empty()) {
            return Some(Cow::Owned(name));
        }
        let fields = self.fields(Variable::RequestHeaders);
        let kind = fields
            .iter()
            .find(|field| self.texts.get(field.key).eq_ignore_ascii_case(b"content-type"));
        let kind = kind.map(|field| self.texts.get(field.value).to_ascii_lowercase());
        let kind = kind.as_deref().map(|kind| kind.split(|byte| *byte == b';').next());
        let kind = kind.flatten().unwrap_or_default().trim_ascii();
        // JSON and XML as the recommended configuration of ModSecurity has it.
        Some(Cow::Borrowed(match kind {
            b"application/x-www-form-urlencoded" => "URLENCODED",
            b"multipart/form-data" => "MULTIPART",
            b"application/json" => "JSON",
            b"text/xml" | b"application/xml" => "XML",
            json if json.starts_with(b"application/") && json.ends_with(b"+json") => "JSON",
            xml if xml.starts_with(b"application/") && xml.ends_with(b"+xml") => "XML",
            _ => "",
        }))
    }

    /// The request's body, as its processor read it. Phase 2 can run then.
    pub fn body(&mut self, raw: &[u8], body: &Body) {
        self.put(Variable::ReqbodyProcessor, body.processor.as_bytes());
        self.put(Variable::RequestBodyLength, raw.len().to_string().as_bytes());
        // ModSecurity has the body itself where nothing took it apart into arguments, or a form.
        let whole = self.keep_body || matches!(body.processor, "" | "URLENCODED");
        if whole {
            self.put(Variable::RequestBody, raw);
        }
        if let Some(error) = &body.error {
            self.put(Variable::ReqbodyError, b"1");
            self.put(Variable::ReqbodyErrorMsg, error.as_bytes());
        }
        let most = self.set.bodies.arguments;
        for (name, value) in body.arguments.iter().take(most) {
            self.argument((Variable::ArgsPost, Variable::ArgsPostNames), name, value);
        }
        if body.arguments.len() > most && body.error.is_none() {
            self.put(Variable::ReqbodyError, b"1");
            self.put(Variable::ReqbodyErrorMsg, b"too many arguments");
        }
        let mut all = 0;
        for (field, name, size) in &body.files {
            self.add(Variable::Files, field, name);
            self.add(Variable::FilesNames, field, field);
            self.add(Variable::FilesSizes, field, size.to_string().as_bytes());
            all += size;
        }
        self.put(Variable::FilesCombinedSize, all.to_string().as_bytes());
        for (variable, key, value) in &body.more {
            self.add(*variable, key, value);
        }
        self.sizes();
    }

    /// The answer's head. Phase 3 can run then.
    pub fn answer(&mut self, status: u16, protocol: &str, fields: &[(&[u8], &[u8])]) {
        self.put(Variable::ResponseStatus, status.to_string().as_bytes());
        self.put(Variable::ResponseProtocol, protocol.as_bytes());
        self.put(Variable::StatusLine, format!("{protocol} {status}").as_bytes());
        for (name, value) in fields {
            self.add(Variable::ResponseHeaders, name, value);
            self.add(Variable::ResponseHeadersNames, name, name);
            if name.eq_ignore_ascii_case(b"content-type") {
                self.put(Variable::ResponseContentType, value);
            }
            if name.eq_ignore_ascii_case(b"content-length") {
                self.put(Variable::ResponseContentLength, value);
            }
        }
    }

    /// Whether the rules want to see the answer's body.
    pub fn wants_answer(&self) -> bool {
        let bodies = &self.set.bodies;
        let kind = self.one(Variable::ResponseContentType).unwrap_or_else(|| [].as_slice().into());
        let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let known = |known: &String| known.as_bytes().eq_ignore_ascii_case(kind);
        self.reads_response.unwrap_or(bodies.response) && bodies.response_types.iter().any(known)
    }

    /// The answer's body. Phase 4 can run then.
    pub fn answer_body(&mut self, body: &[u8]) {
        self.put(Variable::ResponseBody, body);
        self.put(Variable::ResponseContentLength, body.len().to_string().as_bytes());
    }

    /// The time, in UTC.
    fn times(&mut self, epoch: u64) {
        let (day, second) = (epoch / 86_400, epoch % 86_400);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let (year, month, date) = civil(day);
        let mut one = |variable, value: u64| self.put(variable, value.to_string().as_bytes());
        one(Variable::TimeEpoch, epoch);
        one(Variable::TimeHour, hour);
        one(Variable::TimeMin, minute);
        one(Variable::TimeSec, second);
        one(Variable::TimeDay, date);
        one(Variable::TimeMon, month - 1);
        one(Variable::TimeYear, year);
        one(Variable::TimeWday, (day + 4) % 7);
        self.put(Variable::Time, format!("{hour:02}:{minute:02}:{second:02}").as_bytes());
    }
}

/// Year, month and date of a day since 1970 (Howard Hinnant's `days_from_civil`, the other way).
fn civil(day: u64) -> (u64, u64, u64) {
    let shifted = day + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + u64::from(month <= 2), month, date)
}

/// Reads `a=1&b=2`; whether an escape in it is broken.
pub(super) fn pairs(text: &[u8], into: &mut Vec<(Vec<u8>, Vec<u8>)>) -> bool {
    let decoded = |text| percent::decode(text).into_owned();
    for part in text.split(|byte| *byte == b'&').filter(|part| !part.is_empty()) {
        let (name, value) = named(part);
        into.push((decoded(name), decoded(value)));
    }
    percent::is_broken(text)
}

/// `name=value`, or a name alone.
fn named(pair: &[u8]) -> (&[u8], &[u8]) {
    let at = memchr::memchr(b'=', pair).unwrap_or(pair.len());
    let (name, value) = pair.split_at(at);
    (name, value.get(1..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read_once() {
        assert_eq!(percent::unescape(b"/a%2Fb+c?x=%2541%zz%4").as_ref(), b"/a/b+c?x=%41%zz%4");
    }

    #[test]
    fn days_are_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(19_782), (2024, 2, 29));
        assert_eq!(civil(20_781), (2026, 11, 24));
    }
}
