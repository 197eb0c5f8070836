//! What a signature covers: fields and parts derived from the message (RFC 9421 section 2), each
//! with the parameters that say in which form.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderName};
use sfv::{BareItem, Dictionary, FieldType, Item, List, ListEntry, Parser};

use super::{Fault, Message, Request};

/// Fields that are dictionaries, and may be covered strictly serialized.
const DICTIONARIES: [&str; 8] = [
    "content-digest",
    "repr-digest",
    "want-content-digest",
    "want-repr-digest",
    "signature",
    "signature-input",
    "accept-signature",
    "priority",
];
/// Fields that are lists, likewise.
const LISTS: [&str; 6] =
    ["accept", "accept-encoding", "cache-status", "proxy-status", "vary", "client-cert-chain"];

/// One covered component. Two are the same if they are written the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    name: Name,
    form: Form,
    /// Of the request that the response answers.
    of_request: bool,
    written: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    Method,
    TargetUri,
    Authority,
    Scheme,
    RequestTarget,
    Path,
    Query,
    /// Encoded as it is compared.
    QueryParam(String),
    Status,
    Field(HeaderName),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    Plain,
    Strict,
    Member(String),
    Bytes,
}

impl Component {
    /// From text such as `"@method"`, `@method` or `"@query-param";name="page"`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let quoted = if text.starts_with('"') { text.to_owned() } else { format!("\"{text}\"") };
        let item: Item = Parser::new(&quoted).parse().map_err(|_fault| Fault::Malformed)?;
        Self::read(&item)
    }

    pub(super) fn read(item: &Item) -> Result<Self, Fault> {
        let written = item.serialize();
        let unknown = || Fault::UnknownComponent(written.clone());
        let name = item.bare_item.as_string().ok_or_else(unknown)?.as_str();
        let (mut form, mut of_request, mut parameter) = (Form::Plain, false, None);
        for (key, value) in &item.params {
            let set = value.as_boolean() == Some(true);
            let text = value.as_string().map(|text| text.as_str().to_owned());
            match (key.as_str(), text) {
                ("req", None) if set => of_request = true,
                ("name", Some(text)) if name == "@query-param" => parameter = Some(text),
                ("sf", None) if set && form == Form::Plain => form = Form::Strict,
                ("bs", None) if set && form == Form::Plain => form = Form::Bytes,
                ("key", Some(text)) if matches!(form, Form::Plain | Form::Strict) => {
                    form = Form::Member(text);
                }
                // Trailers (`tr`) come too late: a head is judged before its body.
                _ => return Err(unknown()),
            }
        }
        let name = Name::read(name, parameter).ok_or_else(unknown)?;
        if form != Form::Plain && !matches!(name, Name::Field(_)) {
            return Err(unknown());
        }
        Ok(Self { name, form, of_request, written })
    }

    pub(super) fn is_field(&self, field: &HeaderName) -> bool {
        matches!(&self.name, Name::Field(name) if name == field)
    }

    pub(super) fn item(&self) -> Result<Item, Fault> {
        Parser::new(&self.written).parse().map_err(|_fault| Fault::Malformed)
    }

    /// Its value in a message.
    pub(super) fn value(&self, message: &Message<'_>) -> Result<String, Fault> {
        let absent = || Fault::AbsentComponent(self.written.clone());
        let (request, status, fields) = match (message, self.of_request) {
            (Message::Request(request), false) => (Some(request), None, request.fields),
            (Message::Response(response), false) => (None, Some(response.status), response.fields),
            (Message::Response(response), true) => {
                let request = response.request.as_ref().ok_or_else(absent)?;
                (Some(request), None, request.fields)
            }
            (Message::Request(_), true) => return Err(absent()),
        };
        if let Name::Field(name) = &self.name {
            return self.field(name, fields).ok_or_else(absent);
        }
        if self.name == Name::Status {
            return status.map(|status| status.as_str().to_owned()).ok_or_else(absent);
        }
        request.and_then(|request| self.name.derived(request)).ok_or_else(absent)
    }

    fn field(&self, name: &HeaderName, fields: &HeaderMap) -> Option<String> {
        let values: Vec<&[u8]> =
            fields.get_all(name).iter().map(|value| value.as_bytes().trim_ascii()).collect();
        if values.is_empty() {
            return None;
        }
        if self.form == Form::Bytes {
            let member = |value: &&[u8]| format!(":{}:", BASE64_STANDARD.encode(value));
            return Some(values.iter().map(member).collect::<Vec<_>>().join(", "));
        }
        let whole = String::from_utf8(values.join(&b", "[..])).ok()?;
        // What is not ASCII has no one reading, and a line break would be another line of the base.
        let whole =
            Some(whole).filter(|text| text.bytes().all(|b| matches!(b, b'\t' | b' '..=b'~')))?;
        match &self.form {
            Form::Plain | Form::Bytes => Some(whole),
            Form::Strict => strict(name.as_str(), &whole),
            Form::Member(key) => {
                let members: Dictionary = Parser::new(&whole).parse().ok()?;
                Some(member(members.get(key.as_str())?))
            }
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl Name {
    fn read(name: &str, parameter: Option<String>) -> Option<Self> {
        Some(match name {
            "@method" => Self::Method,
            "@target-uri" => Self::TargetUri,
            "@authority" => Self::Authority,
            "@scheme" => Self::Scheme,
            "@request-target" => Self::RequestTarget,
            "@path" => Self::Path,
            "@query" => Self::Query,
            "@status" => Self::Status,
            "@query-param" => return parameter.map(Self::QueryParam),
            // A name with capitals is not one (section 2.1).
            _ if name.bytes().any(|byte| byte.is_ascii_uppercase()) => return None,
            _ => Self::Field(HeaderName::from_bytes(name.as_bytes()).ok()?),
        })
    }

    fn derived(&self, request: &Request<'_>) -> Option<String> {
        let scheme = || request.scheme.to_ascii_lowercase();
        Some(match self {
            Self::Method => request.method.to_owned(),
            Self::Authority => request.normal_authority(),
            Self::Scheme => scheme(),
            Self::TargetUri => {
                format!("{}://{}{}", scheme(), request.normal_authority(), request.target())
            }
            Self::RequestTarget => request.target(),
            Self::Path => request.normal_path().to_owned(),
            Self::Query => format!("?{}", request.query.unwrap_or_default()),
            Self::QueryParam(name) => query_parameter(request.query?, name)?,
            Self::Status | Self::Field(_) => return None,
        })
    }
}

/// One form only, whatever blanks and order of encodings it came in.
fn strict(name: &str, text: &str) -> Option<String> {
    if DICTIONARIES.contains(&name) {
        let members: Dictionary = Parser::new(text).parse().ok()?;
        return members.serialize();
    }
    if LISTS.contains(&name) {
        let members: List = Parser::new(text).parse().ok()?;
        return members.serialize();
    }
    None
}

fn member(entry: &ListEntry) -> String {
    match entry {
        ListEntry::Item(item) => item.serialize(),
        ListEntry::InnerList(list) => inner_list(list),
    }
}

/// An inner list by itself, which the library only serializes inside of a list.
pub(super) fn inner_list(list: &sfv::InnerList) -> String {
    let whole: List = vec![ListEntry::InnerList(list.clone())];
    whole.serialize().unwrap_or_default()
}

/// Its value, if it is there once (section 2.2.8).
fn query_parameter(query: &str, wanted: &str) -> Option<String> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut named = pairs.filter(|(name, _)| form_encoded(name) == wanted);
    let (_, value) = named.next()?;
    named.next().is_none().then(|| form_encoded(value))
}

/// Decoded as a form and encoded again, so that one value has one spelling.
fn form_encoded(text: &str) -> String {
    let mut rest = text.as_bytes();
    let mut encoded = String::with_capacity(text.len());
    while let Some((&first, behind)) = rest.split_first() {
        let escaped = behind.split_first_chunk::<2>().filter(|_| first == b'%');
        let escaped = escaped.and_then(|(digits, behind)| Some((hexadecimal(*digits)?, behind)));
        let byte;
        (byte, rest) = escaped.unwrap_or((if first == b'+' { b' ' } else { first }, behind));
        if byte.is_ascii_alphanumeric() || matches!(byte, b'*' | b'-' | b'.' | b'_') {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.extend([byte >> 4, byte & 15].map(digit));
        }
    }
    encoded
}

fn hexadecimal(digits: [u8; 2]) -> Option<u8> {
    let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
    u8::try_from(high? * 16 + low?).ok()
}

fn digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).map_or('0', |digit| digit.to_ascii_uppercase())
}

/// A parameter that is text.
pub(super) fn text(value: Option<&BareItem>) -> Result<Option<String>, Fault> {
    let Some(value) = value else { return Ok(None) };
    value.as_string().map(|text| Some(text.as_str().to_owned())).ok_or(Fault::Malformed)
}

/// A parameter that is a time, in seconds.
pub(super) fn seconds(value: Option<&BareItem>) -> Result<Option<u64>, Fault> {
    let Some(value) = value else { return Ok(None) };
    let number = value.as_integer().and_then(|number| u64::try_from(i64::from(number)).ok());
    number.map(Some).ok_or(Fault::Malformed)
}
