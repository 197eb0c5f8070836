//! One operation of a contract, read: its parameters, its body, its answers. Schemas are numbers here;
//! what they judge by is made when all are known.

use std::{collections::HashMap, sync::Arc};

use http::{HeaderName, Method, StatusCode};
use serde_json::Value;

use super::{
    document::{Documents, Place},
    fault::Fault,
    media::{Content, Kind, Media, Range},
    parameter::{In, Parameter, Style},
    shape::Shape,
};

/// Fields that are the message's own and no parameters (OpenAPI 3.1, Parameter Object).
const NO_PARAMETERS: [&str; 3] = ["accept", "content-type", "authorization"];

/// Methods that a path item may describe.
const METHODS: [(&str, Method); 8] = [
    ("get", Method::GET),
    ("put", Method::PUT),
    ("post", Method::POST),
    ("delete", Method::DELETE),
    ("options", Method::OPTIONS),
    ("head", Method::HEAD),
    ("patch", Method::PATCH),
    ("trace", Method::TRACE),
];

/// What a contract says of one method on one path.
#[derive(Debug)]
pub(crate) struct Operation {
    /// `operationId`, else method and template.
    pub(crate) label: String,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<Body>,
    pub(super) answers: Vec<(Statuses, Media)>,
    /// Parameters of the query that carry credentials.
    pub(super) credentials: Arc<[String]>,
}

#[derive(Debug)]
pub(super) struct Body {
    pub(super) required: bool,
    pub(super) media: Media,
}

/// Which statuses an answer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Statuses {
    One(u16),
    /// `2XX`: the hundreds.
    Class(u16),
    Default,
}

impl Operation {
    /// What the contract says of an answer with this status: the closest of what it lists.
    pub(super) fn answer(&self, status: StatusCode) -> Option<&Media> {
        let code = status.as_u16();
        let wanted = [Statuses::One(code), Statuses::Class(code / 100), Statuses::Default];
        wanted.iter().find_map(|wanted| {
            let found = self.answers.iter().find(|(statuses, _)| statuses == wanted);
            found.map(|(_, media)| media)
        })
    }

    /// Whether a name in the query is one that the contract knows.
    pub(super) fn knows(&self, name: &str) -> bool {
        let named = |parameter: &Parameter| parameter.names(name);
        self.parameters.iter().any(named) || self.credentials.iter().any(|known| known == name)
    }
}

/// The schemas of one direction, each once.
#[derive(Debug, Default)]
pub(super) struct Slots {
    pub(super) places: Vec<Place>,
    known: HashMap<Place, usize>,
}

impl Slots {
    fn number(&mut self, place: &Place) -> usize {
        let next = self.places.len();
        let number = *self.known.entry(place.clone()).or_insert(next);
        if number == next {
            self.places.push(place.clone());
        }
        number
    }
}

/// Reads operations, and gathers the schemas they judge by.
#[derive(Debug)]
pub(super) struct Reader<'d> {
    pub(super) documents: &'d Documents,
    pub(super) requests: Slots,
    pub(super) responses: Slots,
    credentials: Arc<[String]>,
}

impl<'d> Reader<'d> {
    pub(super) fn new(documents: &'d Documents) -> Self {
        let (requests, responses) = (Slots::default(), Slots::default());
        Self { documents, requests, responses, credentials: credentials(documents) }
    }

    /// Every operation of a path item. `names` are the template's places, in order.
    pub(super) fn item(
        &mut self,
        place: &Place,
        template: &str,
        names: &[String],
    ) -> Result<Vec<(Method, Operation)>, Fault> {
        let (place, item) = self.documents.follow(place)?;
        let shared = self.parameters(&place.child("parameters"))?;
        let mut operations = Vec::new();
        for (key, method) in &METHODS {
            if item.get(*key).is_some() {
                let at = place.child(key);
                let label = format!("{method} {template}");
                let operation = self.operation(&at, label, &shared, names)?;
                operations.push((method.clone(), operation));
            }
        }
        Ok(operations)
    }

    fn operation(
        &mut self,
        place: &Place,
        label: String,
        shared: &[Place],
        names: &[String],
    ) -> Result<Operation, Fault> {
        let (place, operation) = self.documents.follow(place)?;
        let own = self.parameters(&place.child("parameters"))?;
        let mut parameters: Vec<Parameter> = Vec::new();
        // The operation's come last and stand in place of the path's of the same name and place.
        for at in shared.iter().chain(&own) {
            let Some(parameter) = self.parameter(at, names)? else { continue };
            parameters
                .retain(|known| known.name != parameter.name || known.place != parameter.place);
            parameters.push(parameter);
        }
        for (number, name) in names.iter().enumerate() {
            if !parameters.iter().any(|known| known.place == In::Path(number)) {
                let what = format!("has no parameter that describes {{{name}}} of its path");
                return Err(self.documents.fault(&place, what));
            }
        }
        let id = operation.get("operationId").and_then(Value::as_str);
        Ok(Operation {
            label: id.map_or(label, str::to_owned),
            parameters,
            body: self.body(&place, operation)?,
            answers: self.answers(&place, operation)?,
            credentials: Arc::clone(&self.credentials),
        })
    }

    /// Where the parameters of a list stand.
    fn parameters(&self, place: &Place) -> Result<Vec<Place>, Fault> {
        let listed = match self.documents.get(place) {
            None => return Ok(Vec::new()),
            Some(Value::Array(listed)) => listed.len(),
            Some(_) => return Err(self.documents.fault(place, "is no list")),
        };
        (0..listed).map(|i| Ok(self.documents.follow(&place.child(&i.to_string()))?.0)).collect()
    }

    fn parameter(&mut self, place: &Place, names: &[String]) -> Result<Option<Parameter>, Fault> {
        let documents = self.documents;
        let (place, value) = documents.follow(place)?;
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let Some(name) = text("name") else {
            return Err(documents.fault(&place, "has no name"));
        };
        let (location, usual) = match text("in") {
            Some("path") => {
                // A parameter of a path that this template does not have is of no use.
                let Some(number) = names.iter().position(|known| known == name) else {
                    return Ok(None);
                };
                (In::Path(number), Style::Simple)
            }
            Some("query") => (In::Query, Style::Form),
            Some("cookie") => (In::Cookie, Style::Form),
            Some("header") if NO_PARAMETERS.contains(&name.to_ascii_lowercase().as_str()) => {
                return Ok(None);
            }
            Some("header") => {
                let field = HeaderName::from_bytes(name.as_bytes()).ok();
                let field =
                    field.ok_or_else(|| documents.fault(&place, "names no header field"))?;
                (In::Header(field), Style::Simple)
            }
            Some(_) | None => {
                return Err(documents.fault(&place, "is in none of path, query, header, cookie"));
            }
        };
        let (schema, style) = self.written(&place, value, usual)?;
        let explode = value.get("explode").and_then(Value::as_bool);
        let required = value.get("required").and_then(Value::as_bool).unwrap_or(false);
        Ok(Some(Parameter {
            name: name.to_owned(),
            required: required || matches!(location, In::Path(_)),
            place: location,
            explode: explode.unwrap_or(style == Style::Form),
            style,
            shape: Shape::of(documents, &schema),
            schema: self.requests.number(&schema),
        }))
    }

    /// Where a parameter's schema stands, and how its value is written.
    fn written(&self, place: &Place, value: &Value, usual: Style) -> Result<(Place, Style), Fault> {
        if value.get("schema").is_some() {
            let style = match value.get("style").and_then(Value::as_str) {
                None => usual,
                Some(name) => style(name).ok_or_else(|| {
                    self.documents.fault(place, format!("has the unknown style \"{name}\""))
                })?,
            };
            return Ok((place.child("schema"), style));
        }
        let content = value.get("content").and_then(Value::as_object);
        let first = content.and_then(|content| content.keys().next());
        let json = first.filter(|kind| Kind::of(kind) == Kind::Json);
        let json = json.ok_or_else(|| {
            self.documents.fault(place, "has neither a schema nor content that is JSON")
        })?;
        Ok((place.child("content").child(json).child("schema"), Style::Json))
    }

    fn body(&mut self, place: &Place, operation: &Value) -> Result<Option<Body>, Fault> {
        if operation.get("requestBody").is_none() {
            return Ok(None);
        }
        let (place, body) = self.documents.follow(&place.child("requestBody"))?;
        let required = body.get("required").and_then(Value::as_bool).unwrap_or(false);
        let media = media(self.documents, &mut self.requests, &place)?;
        Ok(Some(Body { required, media }))
    }

    fn answers(
        &mut self,
        place: &Place,
        operation: &Value,
    ) -> Result<Vec<(Statuses, Media)>, Fault> {
        let listed = operation.get("responses").and_then(Value::as_object);
        let mut answers = Vec::new();
        for key in listed.into_iter().flat_map(|listed| listed.keys()) {
            if key.starts_with("x-") {
                continue;
            }
            let at = place.child("responses").child(key);
            let statuses =
                statuses(key).ok_or_else(|| self.documents.fault(&at, "is no status"))?;
            let (at, _) = self.documents.follow(&at)?;
            answers.push((statuses, media(self.documents, &mut self.responses, &at)?));
        }
        Ok(answers)
    }
}

/// The media types of a body or an answer.
fn media(documents: &Documents, slots: &mut Slots, place: &Place) -> Result<Media, Fault> {
    let at = place.child("content");
    let mut contents = Vec::new();
    let listed = documents.get(&at).and_then(Value::as_object);
    for (key, value) in listed.into_iter().flatten() {
        let at = at.child(key);
        let range = Range::parse(key).ok_or_else(|| documents.fault(&at, "is no media type"))?;
        let schema = value.get("schema").is_some().then(|| at.child("schema"));
        let shape = schema.as_ref().map(|schema| Shape::of(documents, schema));
        contents.push(Content {
            range,
            kind: Kind::of(key),
            schema: schema.map(|schema| slots.number(&schema)),
            shape: shape.unwrap_or_default(),
        });
    }
    Ok(Media::new(contents))
}

fn style(name: &str) -> Option<Style> {
    Some(match name {
        "simple" => Style::Simple,
        "label" => Style::Label,
        "matrix" => Style::Matrix,
        "form" => Style::Form,
        "spaceDelimited" => Style::SpaceDelimited,
        "pipeDelimited" => Style::PipeDelimited,
        "deepObject" => Style::DeepObject,
        _ => return None,
    })
}

fn statuses(key: &str) -> Option<Statuses> {
    if key == "default" {
        return Some(Statuses::Default);
    }
    if let [class @ b'1'..=b'5', b'X' | b'x', b'X' | b'x'] = key.as_bytes() {
        return Some(Statuses::Class(u16::from(class - b'0')));
    }
    key.parse().ok().filter(|code| (100..=599).contains(code)).map(Statuses::One)
}

/// Parameters of the query by which security schemes take credentials.
fn credentials(documents: &Documents) -> Arc<[String]> {
    let schemes =
        documents.roots().first().and_then(|root| root.pointer("/components/securitySchemes"));
    let schemes = schemes.and_then(Value::as_object).into_iter().flat_map(|all| all.values());
    let in_query = schemes.filter(|scheme| scheme.get("in").is_some_and(|place| place == "query"));
    in_query.filter_map(|scheme| scheme.get("name")?.as_str().map(str::to_owned)).collect()
}
