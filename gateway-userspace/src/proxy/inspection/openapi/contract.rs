//! A whole contract: its paths, its operations, and the schemas they judge by.

use std::sync::Arc;

use http::Method;
use jsonschema::{Draft, PatternOptions, Registry, Validator};
use serde_json::{Value, json};

use super::{
    document::{Documents, Place, resource},
    fault::Fault,
    operation::{Operation, Reader},
    prepare::{Direction, Preparation, Ready},
};

/// Bytes of a compiled pattern, at most.
const PATTERN_BYTES: usize = 1 << 20;

/// What refers to each schema; another name than any document has.
const JUDGE: &str = "gateway-contract:///judge";

/// Paths of a contract, at most.
const PATHS: usize = 5000;

/// How a contract is read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    /// What stands in front of the contract's paths; `None` is the path of its first server.
    pub(crate) base: Option<String>,
    /// Members, parameters and paths that it does not name are told.
    pub(crate) closed: bool,
}

/// A compiled contract.
#[derive(Debug)]
pub(crate) struct Contract {
    paths: matchit::Router<usize>,
    items: Vec<Item>,
    pub(super) closed: bool,
    pub(super) requests: Vec<Validator>,
    pub(super) responses: Vec<Validator>,
}

/// One path.
#[derive(Debug)]
struct Item {
    operations: Vec<(Method, Arc<Operation>)>,
}

/// What stands at a path.
#[derive(Debug)]
pub(super) enum Found<'c, 'p> {
    /// The operation, and the text at each place of its template.
    Operation(&'c Arc<Operation>, Vec<&'p str>),
    NoMethod,
    NoPath,
}

impl Contract {
    /// Compiles a set of documents, the contract's own first. Each is a name, as references write it,
    /// and its text.
    ///
    /// # Errors
    /// The first thing that cannot be held to, and where it stands.
    pub(crate) fn compile(texts: &[(String, Vec<u8>)], settings: &Settings) -> Result<Self, Fault> {
        let documents = Documents::read(texts)?;
        let version = version(&documents)?;
        let base = match &settings.base {
            Some(base) => base.trim_end_matches('/').to_owned(),
            None => server_path(&documents),
        };
        let mut reader = Reader::new(&documents);
        let (paths, items) = paths(&mut reader, &base)?;
        let (requests, responses) = (reader.requests.places, reader.responses.places);
        let ready = |direction, places: &[Place]| {
            let preparation = Preparation {
                documents: &documents,
                direction,
                closed: settings.closed,
                old: version.old,
                unevaluated: version.unevaluated(),
            };
            validators(preparation, version, places)
        };
        let requests = ready(Direction::Request, &requests)?;
        let responses = ready(Direction::Response, &responses)?;
        Ok(Self { paths, items, closed: settings.closed, requests, responses })
    }

    /// What stands at a path; HEAD is answered like GET where the contract has none of its own.
    pub(super) fn find<'p>(&self, method: &Method, path: &'p str) -> Found<'_, 'p> {
        let Ok(found) = self.paths.at(path) else { return Found::NoPath };
        let Some(item) = self.items.get(*found.value) else { return Found::NoPath };
        let named = |wanted: &Method| item.operations.iter().find(|(known, _)| known == wanted);
        let operation = named(method)
            .or_else(|| (method == Method::HEAD).then(|| named(&Method::GET)).flatten());
        let Some((_, operation)) = operation else { return Found::NoMethod };
        Found::Operation(operation, found.params.iter().map(|(_, value)| value).collect())
    }
}

/// The version of a contract, and the dialect of its schemas.
#[derive(Debug, Clone, Copy)]
struct Version {
    old: bool,
    draft: Draft,
}

impl Version {
    fn unevaluated(self) -> bool {
        matches!(self.draft, Draft::Draft201909 | Draft::Draft202012)
    }
}

fn version(documents: &Documents) -> Result<Version, Fault> {
    let place = Place::root(0);
    let root = documents.get(&place).unwrap_or(&Value::Null);
    let version = root.get("openapi").and_then(Value::as_str).unwrap_or_default();
    if version.starts_with("3.0.") {
        return Ok(Version { old: true, draft: Draft::Draft202012 });
    }
    if !version.starts_with("3.1.") {
        return Err(documents.fault(&place, "is no OpenAPI 3.0 or 3.1: it needs openapi: 3.1.0"));
    }
    let dialect = root.get("jsonSchemaDialect").and_then(Value::as_str).unwrap_or_default();
    let dialect = dialect.trim_end_matches('#');
    let draft = match dialect {
        ""
        | "https://spec.openapis.org/oas/3.1/dialect/base"
        | "https://json-schema.org/draft/2020-12/schema" => Draft::Draft202012,
        "https://json-schema.org/draft/2019-09/schema" => Draft::Draft201909,
        "http://json-schema.org/draft-07/schema" => Draft::Draft7,
        "http://json-schema.org/draft-06/schema" => Draft::Draft6,
        "http://json-schema.org/draft-04/schema" => Draft::Draft4,
        unknown => {
            let what = format!("has the unknown dialect \"{unknown}\"");
            return Err(documents.fault(&place.child("jsonSchemaDialect"), what));
        }
    };
    Ok(Version { old: false, draft })
}

/// The path of the first server, which stands in front of all others.
fn server_path(documents: &Documents) -> String {
    let url = documents.roots().first().and_then(|root| root.pointer("/servers/0/url"));
    let url = url.and_then(Value::as_str).unwrap_or_default();
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default(),
        None => url,
    };
    path.trim_end_matches('/').to_owned()
}

fn paths(
    reader: &mut Reader<'_>,
    base: &str,
) -> Result<(matchit::Router<usize>, Vec<Item>), Fault> {
    let place = Place::root(0).child("paths");
    let documents = reader.documents;
    let listed = documents.get(&place).and_then(Value::as_object);
    let listed = listed.ok_or_else(|| documents.fault(&place, "is missing"))?;
    if listed.len() > PATHS {
        return Err(documents.fault(&place, format!("has over {PATHS} entries")));
    }
    let (mut router, mut items) = (matchit::Router::new(), Vec::new());
    for template in listed.keys().filter(|key| !key.starts_with("x-")) {
        let at = place.child(template);
        let (pattern, names) = pattern(template)
            .ok_or_else(|| documents.fault(&at, "is no path with names in braces"))?;
        let operations = reader.item(&at, template, &names)?;
        let operations = operations.into_iter();
        let operations = operations.map(|(method, one)| (method, Arc::new(one))).collect();
        let entry = router.insert(format!("{base}{pattern}"), items.len());
        entry.map_err(|error| documents.fault(&at, format!("cannot be told apart: {error}")))?;
        items.push(Item { operations });
    }
    Ok((router, items))
}

/// A template for the router, with numbers for its names, and the names.
fn pattern(template: &str) -> Option<(String, Vec<String>)> {
    let (mut pattern, mut names) = (String::new(), Vec::new());
    let mut rest = template.strip_prefix('/').map(|_| template)?;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        if name.is_empty() || before.contains('}') {
            return None;
        }
        pattern.push_str(before);
        pattern.extend(["{p", &names.len().to_string(), "}"]);
        names.push(name.to_owned());
        rest = after;
    }
    pattern.push_str(rest);
    (!rest.contains('}')).then_some((pattern, names))
}

/// Compiles the schemas at these places.
fn validators(
    preparation: Preparation<'_>,
    version: Version,
    places: &[Place],
) -> Result<Vec<Validator>, Fault> {
    let documents = preparation.documents;
    let mut ready = Ready::new(preparation);
    places.iter().try_for_each(|place| ready.take(place))?;
    let roots = ready.into_roots();
    let whole = |error: &dyn std::fmt::Display| {
        documents.fault(&Place::root(0), format!("cannot be used: {error}"))
    };
    let mut registry = Registry::new().draft(version.draft);
    for (number, root) in roots.iter().enumerate() {
        registry = registry.add(resource(number), root).map_err(|error| whole(&error))?;
    }
    let registry = registry.prepare().map_err(|error| whole(&error))?;
    let compile = |place: &Place| {
        jsonschema::options()
            .with_draft(version.draft)
            .with_registry(&registry)
            .with_base_uri(JUDGE)
            .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_BYTES))
            .should_validate_formats(true)
            .with_format("byte", is_base64)
            .offline()
            .build(&json!({ "$ref": place.uri() }))
            .map_err(|error| documents.fault(place, format!("is no schema to hold to: {error}")))
    };
    places.iter().map(compile).collect()
}

/// `format: byte` is base64 (OpenAPI 3.0, Data Types; RFC 4648 section 4).
fn is_base64(text: &str) -> bool {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    BASE64_STANDARD.decode(text).is_ok()
}
