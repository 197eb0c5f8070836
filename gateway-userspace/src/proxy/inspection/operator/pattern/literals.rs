//! What a value must contain so that an expression can match: strings in lower case, one of which
//! stands in every match, whatever its case. One search for the strings of many expressions then
//! says which of them to run at all.

use regex_syntax::hir::{Class, Hir, HirKind};

/// Strings in one set, bytes in one string, members of a class that are taken one by one.
const MAX_STRINGS: usize = 256;
const MAX_PRODUCT: usize = 64;
const MAX_LENGTH: usize = 32;
/// More single bytes than this stand in almost every value.
const MAX_BYTES: usize = 4;
const MAX_MEMBERS: usize = 16;

type Strings = Vec<Vec<u8>>;

/// The strings of an expression that `translate` wrote; none if a match need not contain any.
pub fn literals(pattern: &str) -> Option<Vec<Vec<u8>>> {
    let mut parser = regex_syntax::ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .dot_matches_new_line(true)
        .multi_line(true)
        .build();
    let hir = parser.parse(pattern).ok()?;
    let found = strings(&hir);
    found.best().filter(|set| weight(set) > 1 || set.len() <= MAX_BYTES)
}

#[derive(Default)]
struct Found {
    /// All that can match, if that is few.
    exact: Option<Strings>,
    /// One of these stands in every match.
    required: Option<Strings>,
}

impl Found {
    fn exactly(exact: Strings) -> Self {
        Self { exact: Some(exact), required: None }
    }

    fn best(self) -> Option<Strings> {
        better(self.exact, self.required)
    }
}

/// The length of the shortest: a short string stands everywhere and holds nothing back.
fn weight(set: &Strings) -> usize {
    set.iter().map(Vec::len).min().unwrap_or(0)
}

fn better(one: Option<Strings>, other: Option<Strings>) -> Option<Strings> {
    one.into_iter().chain(other).filter(|set| weight(set) > 0).max_by_key(weight)
}

fn strings(hir: &Hir) -> Found {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Found::exactly(vec![Vec::new()]),
        HirKind::Literal(literal) => of_literal(&literal.0),
        HirKind::Class(class) => members(class).map(Found::exactly).unwrap_or_default(),
        HirKind::Capture(capture) => strings(&capture.sub),
        HirKind::Repetition(repetition) => match (repetition.min, repetition.max) {
            (0, Some(1)) => optional(strings(&repetition.sub)),
            (0, _) => Found::default(),
            (1, Some(1)) => strings(&repetition.sub),
            _ => Found { exact: None, required: strings(&repetition.sub).best() },
        },
        HirKind::Concat(parts) => in_a_row(parts),
        HirKind::Alternation(branches) => either(branches),
    }
}

fn of_literal(bytes: &[u8]) -> Found {
    let lower = bytes.to_ascii_lowercase();
    match lower.get(..MAX_LENGTH) {
        Some(start) if lower.len() > MAX_LENGTH => {
            Found { exact: None, required: Some(vec![start.to_vec()]) }
        }
        _ => Found::exactly(vec![lower]),
    }
}

fn optional(found: Found) -> Found {
    let exact = found.exact.map(|mut exact| {
        exact.push(Vec::new());
        exact
    });
    Found { exact, required: None }
}

/// The members of a small class as strings, both cases of a letter as one.
fn members(class: &Class) -> Option<Strings> {
    let Class::Bytes(class) = class else { return None };
    let mut members = Vec::new();
    for range in class.ranges() {
        if range.len() > MAX_MEMBERS {
            return None;
        }
        members.extend((range.start()..=range.end()).map(|byte| vec![byte.to_ascii_lowercase()]));
    }
    members.sort_unstable();
    members.dedup();
    (members.len() <= MAX_MEMBERS).then_some(members)
}

fn in_a_row(parts: &[Hir]) -> Found {
    let nothing = || vec![Vec::new()];
    let (mut run, mut whole, mut required) = (nothing(), true, None);
    for part in parts.iter().map(strings) {
        let longer = part.exact.as_ref().and_then(|exact| product(&run, exact));
        if let Some(longer) = longer {
            run = longer;
            continue;
        }
        whole = false;
        let finished = std::mem::replace(&mut run, part.exact.clone().unwrap_or_else(nothing));
        required = better(required, Some(finished));
        required = better(required, part.required);
    }
    if whole {
        return Found { exact: Some(run), required: None };
    }
    Found { exact: None, required: better(required, Some(run)) }
}

fn product(run: &Strings, next: &Strings) -> Option<Strings> {
    if run.len().saturating_mul(next.len()) > MAX_PRODUCT {
        return None;
    }
    let joined = run.iter().flat_map(|start| next.iter().map(move |end| [&**start, end].concat()));
    let joined: Strings = joined.collect();
    joined.iter().all(|string| string.len() <= MAX_LENGTH).then_some(joined)
}

fn either(branches: &[Hir]) -> Found {
    let (mut exact, mut required) = (Some(Vec::new()), Some(Vec::new()));
    for found in branches.iter().map(strings) {
        exact = joined(exact, found.exact.clone());
        required = joined(required, found.best());
    }
    Found { exact, required }
}

fn joined(all: Option<Strings>, more: Option<Strings>) -> Option<Strings> {
    let mut all = all?;
    all.extend(more?);
    all.sort_unstable();
    all.dedup();
    (all.len() <= MAX_STRINGS).then_some(all)
}
