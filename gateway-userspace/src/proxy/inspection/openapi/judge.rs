//! What a contract says of one message. A refusal tells where the contract was broken and by which of
//! its rules, never with what value: it goes to logs.

use std::{borrow::Cow, sync::Arc};

use http::{HeaderMap, Method, StatusCode};
use jsonschema::{ValidationError, Validator, error::ValidationErrorKind};
use serde_json::Value;

use super::{
    contract::{Contract, Found},
    media::{Content, Kind, Media},
    operation::Operation,
    parameter::{In, Parameter, Sent, Style},
};
use crate::proxy::strict_json;

/// Rounds of taking out what is unknown, a level of nesting each.
const ROUNDS: usize = 32;

/// Bytes of what is told of a breach.
const TOLD: usize = 256;

/// How a message breaks its contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Breach {
    pub(crate) kind: BreachKind,
    /// Where, and which rule.
    pub(crate) what: String,
}

/// Which part of a contract is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BreachKind {
    /// The contract has no such path.
    Path,
    /// It has the path, but not with this method.
    Method,
    /// A parameter is missing, or not what its schema takes.
    Parameter,
    /// A body of a media type the contract does not take.
    MediaType,
    /// No body, where one is asked for, or one where none is taken.
    Presence,
    /// The body is not what its media type says.
    Unreadable,
    /// The body is not what its schema takes.
    Body,
    /// A member the contract does not name.
    UnknownMember,
    /// The answer's status is none that was promised.
    Status,
}

impl Breach {
    fn new(kind: BreachKind, what: impl Into<String>) -> Self {
        let mut what: String = what.into();
        if what.len() > TOLD {
            let end = (0..=TOLD).rev().find(|end| what.is_char_boundary(*end)).unwrap_or(0);
            what.truncate(end);
            what.push('…');
        }
        Self { kind, what }
    }
}

/// A request that the contract knows, and what its query has too much.
#[derive(Debug)]
pub(crate) struct Known<'c> {
    pub(crate) operation: &'c Arc<Operation>,
    /// Names of the query's parameters that the contract does not know.
    pub(crate) unknown: Vec<String>,
}

impl Contract {
    /// Judges what stands in a request's head. Unknown parameters of the query are told, not refused.
    pub(crate) fn head(
        &self,
        method: &Method,
        path: &str,
        query: &str,
        headers: &HeaderMap,
    ) -> Result<Known<'_>, Breach> {
        let (operation, path) = match self.find(method, path) {
            Found::Operation(operation, path) => (operation, path),
            Found::NoMethod => {
                return Err(Breach::new(BreachKind::Method, format!("{method} is not documented")));
            }
            Found::NoPath => {
                return Err(Breach::new(BreachKind::Path, "the path is not documented"));
            }
        };
        let sent = Sent::new(path, query, headers)
            .map_err(|fault| Breach::new(BreachKind::Parameter, fault.what()))?;
        for parameter in &operation.parameters {
            self.parameter(parameter, &sent)?;
        }
        let unknown = sent.query.iter().map(|(name, _)| name.as_ref());
        let unknown = unknown.filter(|name| self.closed && !operation.knows(name));
        Ok(Known { operation, unknown: unknown.map(str::to_owned).collect() })
    }

    fn parameter(&self, parameter: &Parameter, sent: &Sent<'_>) -> Result<(), Breach> {
        let told = |what: &str| {
            let place = place(&parameter.place);
            Breach::new(BreachKind::Parameter, format!("{place} {:?} {what}", parameter.name))
        };
        let value = parameter.read(sent).map_err(|fault| told(fault.what()))?;
        let Some(value) = value else {
            return if parameter.required { Err(told("is missing")) } else { Ok(()) };
        };
        let Some(validator) = self.requests.get(parameter.schema) else {
            return Err(told("has no schema"));
        };
        if validator.is_valid(&value) || is_valid_as_text(parameter, validator, &value) {
            return Ok(());
        }
        let error = validator.iter_errors(&value).next();
        Err(told(&error.map_or_else(String::new, |error| rule(&error))))
    }

    /// Judges a request's body; `Some` is what to send on instead, with what is unknown taken out.
    pub(crate) fn body(
        &self,
        operation: &Operation,
        media_type: Option<&[u8]>,
        body: &[u8],
        strip: bool,
    ) -> Result<Option<Vec<u8>>, Breach> {
        let Some(described) = &operation.body else {
            return if body.is_empty() {
                Ok(None)
            } else {
                Err(Breach::new(BreachKind::Presence, "a body, where none is documented"))
            };
        };
        if body.is_empty() && media_type.is_none() {
            return if described.required {
                Err(Breach::new(BreachKind::Presence, "no body, where one is required"))
            } else {
                Ok(None)
            };
        }
        let content = content(&described.media, media_type)?;
        judged(content, &self.requests, body, strip)
    }

    /// Judges an answer in the same way. Errors that the contract does not list pass: they are no
    /// promise of the API, and their bodies are for others to hide.
    pub(crate) fn answer(
        &self,
        operation: &Operation,
        status: StatusCode,
        media_type: Option<&[u8]>,
        body: &[u8],
        strip: bool,
    ) -> Result<Option<Vec<u8>>, Breach> {
        let Some(media) = operation.answer(status) else {
            if status.is_client_error() || status.is_server_error() {
                return Ok(None);
            }
            let what = format!("the answer's status {} is not documented", status.as_u16());
            return Err(Breach::new(BreachKind::Status, what));
        };
        if body.is_empty() {
            return Ok(None);
        }
        if media.is_empty() {
            return Err(Breach::new(BreachKind::Presence, "a body, where none is documented"));
        }
        judged(content(media, media_type)?, &self.responses, body, strip)
    }
}

fn place(place: &In) -> &'static str {
    match place {
        In::Path(_) => "path parameter",
        In::Query => "query parameter",
        In::Header(_) => "header field",
        In::Cookie => "cookie",
    }
}

/// A number where text is taken too is the text that writes it.
fn is_valid_as_text(parameter: &Parameter, validator: &Validator, value: &Value) -> bool {
    let written = match value {
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => return false,
    };
    parameter.shape.text && validator.is_valid(&Value::String(written))
}

fn content<'m>(media: &'m Media, media_type: Option<&[u8]>) -> Result<&'m Content, Breach> {
    let essence = media_type.and_then(super::media::essence);
    let found = essence.as_deref().and_then(|essence| media.find(essence));
    found.ok_or_else(|| {
        let essence = essence.as_deref().unwrap_or("none");
        Breach::new(BreachKind::MediaType, format!("the media type {essence:?} is not documented"))
    })
}

fn judged(
    content: &Content,
    validators: &[Validator],
    body: &[u8],
    strip: bool,
) -> Result<Option<Vec<u8>>, Breach> {
    // What is not JSON is read too: a schema may say more of it.
    let value = match content.kind {
        Kind::Json => strict_json::read(body)
            .map_err(|error| Breach::new(BreachKind::Unreadable, format!("the body: {error}")))?,
        Kind::Form => form(content, body)?,
        Kind::Text => Value::String(text(body)?.to_owned()),
        Kind::Other => return Ok(None),
    };
    let Some(validator) = content.schema.and_then(|number| validators.get(number)) else {
        return Ok(None);
    };
    if validator.is_valid(&value) {
        return Ok(None);
    }
    if strip && content.kind == Kind::Json {
        return stripped(validator, value).map(Some);
    }
    Err(refusal(validator, &value))
}

fn text(body: &[u8]) -> Result<&str, Breach> {
    std::str::from_utf8(body)
        .map_err(|error| Breach::new(BreachKind::Unreadable, format!("the body: {error}")))
}

/// A form is an object whose members are written as a query writes them.
fn form(content: &Content, body: &[u8]) -> Result<Value, Breach> {
    let parameter = Parameter {
        name: String::new(),
        place: In::Query,
        style: Style::Form,
        explode: true,
        required: false,
        shape: content.shape.clone(),
        schema: 0,
    };
    let unreadable = |what: &str| Breach::new(BreachKind::Unreadable, format!("the form {what}"));
    let pairs = super::escape::pairs(text(body)?);
    let pairs = pairs.ok_or_else(|| unreadable("is badly percent-encoded"))?;
    let pairs = pairs.iter().map(|(name, raw): &(Cow<'_, str>, &str)| (name.as_ref(), *raw));
    let gathered = parameter.gathered(pairs).map_err(|fault| unreadable(fault.what()))?;
    Ok(gathered.unwrap_or_else(|| Value::Object(serde_json::Map::new())))
}

/// The first of what is wrong. Where a value is wrong in one part of `allOf`, the names of that part
/// count as unknown beside it; so what is wrong otherwise, and further inside, is told first.
fn refusal(validator: &Validator, value: &Value) -> Breach {
    let rank = |error: &ValidationError<'_>| {
        let inside = depth(error.instance_path().as_str());
        (unknown_members(error).is_some(), usize::MAX - inside)
    };
    let Some(error) = validator.iter_errors(value).min_by_key(rank) else {
        return Breach::new(BreachKind::Body, "the body");
    };
    let kind =
        if removable(&error).is_some() { BreachKind::UnknownMember } else { BreachKind::Body };
    Breach::new(kind, format!("the body at {:?} {}", error.instance_path().as_str(), rule(&error)))
}

fn depth(pointer: &str) -> usize {
    pointer.bytes().filter(|byte| *byte == b'/').count()
}

/// Which rule was broken, without the value that broke it.
fn rule(error: &ValidationError<'_>) -> String {
    format!("breaks {:?} of its schema", error.kind().keyword())
}

/// The value without what the contract does not name, if that alone was wrong with it.
fn stripped(validator: &Validator, mut value: Value) -> Result<Vec<u8>, Breach> {
    for _ in 0..ROUNDS {
        let mut unknown = Vec::new();
        for error in validator.iter_errors(&value) {
            match removable(&error) {
                Some(more) => unknown.extend(more),
                None => return Err(refusal(validator, &value)),
            }
        }
        let Some(deepest) = unknown.iter().map(|(pointer, _)| depth(pointer)).max() else {
            return serde_json::to_vec(&value)
                .map_err(|error| Breach::new(BreachKind::Body, error.to_string()));
        };
        // What is further out may be wrong only by what stands inside it.
        unknown.retain(|(pointer, _): &(String, String)| depth(pointer) == deepest);
        for (pointer, name) in unknown {
            if let Some(Value::Object(members)) = value.pointer_mut(&pointer) {
                members.remove(&name);
            }
        }
    }
    Err(refusal(validator, &value))
}

/// The members by which alone a value fails: itself, or the choice of a list that fails by nothing
/// else.
fn removable(error: &ValidationError<'_>) -> Option<Vec<(String, String)>> {
    if let Some(members) = unknown_members(error) {
        return Some(members);
    }
    let (ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context }) =
        error.kind()
    else {
        return None;
    };
    let choices = context.iter().filter(|errors| !errors.is_empty());
    let mut choices = choices.filter_map(|errors| {
        errors.iter().map(removable).collect::<Option<Vec<_>>>().map(|all| all.concat())
    });
    // Two that would fit leave it open which of them was meant.
    choices.next().filter(|_| choices.next().is_none())
}

/// Members that nothing in the schema names, each with the pointer of its object.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "all other kinds are other faults, new ones too"
)]
fn unknown_members(error: &ValidationError<'_>) -> Option<Vec<(String, String)>> {
    let path = error.instance_path().as_str();
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            Some(unexpected.iter().map(|name| (path.to_owned(), name.clone())).collect())
        }
        // A member of the other direction.
        ValidationErrorKind::FalseSchema => {
            let (object, name) = path.rsplit_once('/')?;
            let name = name.replace("~1", "/").replace("~0", "~");
            Some(vec![(object.to_owned(), name)])
        }
        _ => None,
    }
}
