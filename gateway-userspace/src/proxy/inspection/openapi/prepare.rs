//! Makes the schemas of a document what one direction of traffic is judged by: in one dialect, with
//! references that name their file, without what belongs to the other direction, and closed, so that
//! a member the contract does not know is told.
//!
//! A schema that names members and says nothing of others lets others in (JSON Schema 2020-12 core,
//! section 10.3.2.3): what a supplier may take for something is what mass assignment needs (OWASP
//! API3:2023). Closed is each place where a value stands, once, and not its parts: `allOf` adds up.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{
    document::{self, Documents, Place},
    fault::Fault,
    lift,
    schema::{self, Stand},
};

/// Schemas inside schemas, at most.
const DEPTH: usize = 64;

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Request,
    Response,
}

impl Direction {
    /// The keyword of members that belong to the other direction.
    fn foreign(self) -> &'static str {
        match self {
            Self::Request => "readOnly",
            Self::Response => "writeOnly",
        }
    }
}

/// How schemas are made ready.
#[derive(Debug, Clone, Copy)]
pub(super) struct Preparation<'d> {
    pub(super) documents: &'d Documents,
    pub(super) direction: Direction,
    /// Members that the contract does not name are told.
    pub(super) closed: bool,
    /// The documents speak OpenAPI 3.0.
    pub(super) old: bool,
    /// The dialect knows `unevaluatedProperties`.
    pub(super) unevaluated: bool,
}

/// Copies of the documents in which every schema that is used is ready.
#[derive(Debug)]
pub(super) struct Ready<'d> {
    preparation: Preparation<'d>,
    roots: Vec<Value>,
    done: HashSet<Place>,
}

impl<'d> Ready<'d> {
    pub(super) fn new(preparation: Preparation<'d>) -> Self {
        let roots = preparation.documents.roots().to_vec();
        Self { preparation, roots, done: HashSet::new() }
    }

    /// Makes the schema at a place ready that values are judged by, and all it refers to.
    pub(super) fn take(&mut self, place: &Place) -> Result<(), Fault> {
        let mut waiting = vec![(place.clone(), Stand::Inside)];
        while let Some((place, stand)) = waiting.pop() {
            if !self.done.insert(place.clone()) {
                continue;
            }
            let root = self.roots.get_mut(place.document);
            let Some(value) = root.and_then(|root| root.pointer_mut(&place.pointer)) else {
                return Err(self.preparation.documents.fault(&place, "is missing"));
            };
            let mut targets = Vec::new();
            self.preparation.schema(value, (&place, stand), 0, &mut targets)?;
            waiting.extend(targets.into_iter().map(|target| (target, Stand::Kept)));
        }
        Ok(())
    }

    pub(super) fn into_roots(self) -> Vec<Value> {
        self.roots
    }
}

impl Preparation<'_> {
    /// Makes one schema ready, and those inside it; notes what they refer to. A schema may come twice,
    /// by itself and inside another: the second time changes nothing.
    fn schema(
        &self,
        value: &mut Value,
        (place, stand): (&Place, Stand),
        depth: usize,
        targets: &mut Vec<Place>,
    ) -> Result<(), Fault> {
        if depth > DEPTH {
            return Err(self.documents.fault(place, "nests schemas too deeply"));
        }
        let Value::Object(schema) = value else { return Ok(()) };
        if self.old {
            lift::from_3_0(schema);
        }
        lift::bound_integers(schema);
        self.without_foreign(schema, place);
        // What stands here is asked of the documents as they were read, references and all.
        let closes = self.closed && stand == Stand::Inside && self.names_members(place, 0);
        let own = ["additionalProperties", "unevaluatedProperties"];
        if closes && !own.iter().any(|keyword| schema.contains_key(*keyword)) {
            self.close(schema);
        }
        if let Some(Value::String(reference)) = schema.get_mut("$ref")
            && !document::is_ours(reference)
        {
            let target = self.documents.target(place, reference)?;
            *reference = target.uri();
            targets.push(target);
        }
        schema::each_mut(schema, |stand, steps, inner| {
            let place = steps.iter().fold(place.clone(), |place, step| place.child(step));
            self.schema(inner, (&place, stand), depth + 1, targets)
        })
    }

    fn close(&self, schema: &mut Map<String, Value>) {
        let mut parts = false;
        schema::each(schema, |stand, _| parts |= stand == Stand::Same || stand == Stand::Aside);
        let parts = parts || schema.contains_key("$ref");
        // The plainer keyword costs less, and means the same where nothing else judges the object.
        if !parts && schema.contains_key("properties") {
            schema.insert("additionalProperties".to_owned(), Value::Bool(false));
        } else if self.unevaluated {
            schema.insert("unevaluatedProperties".to_owned(), Value::Bool(false));
        }
    }

    /// Whether the schema at a place, or one that judges the same value, names members. One that
    /// names none takes any object, and is meant to.
    fn names_members(&self, place: &Place, depth: usize) -> bool {
        let Some(Value::Object(schema)) = self.documents.get(place) else { return false };
        if depth > DEPTH {
            return false;
        }
        let named = |place: &Place| self.names_members(place, depth + 1);
        let referred = schema.get("$ref").and_then(Value::as_str);
        let referred = referred.and_then(|to| self.documents.target(place, to).ok());
        if schema.contains_key("properties") || referred.is_some_and(|place| named(&place)) {
            return true;
        }
        ["allOf", "anyOf", "oneOf"].iter().any(|keyword| {
            let parts = schema.get(*keyword).and_then(Value::as_array).map_or(0, Vec::len);
            let list = place.child(keyword);
            (0..parts).any(|i| named(&list.child(&i.to_string())))
        })
    }

    /// Members of the other direction are neither asked for nor taken (OpenAPI 3.1, Schema Object).
    fn without_foreign(&self, schema: &mut Map<String, Value>, place: &Place) {
        let Some(Value::Object(members)) = schema.get_mut("properties") else { return };
        let properties = place.child("properties");
        let mut foreign = Vec::new();
        for (name, member) in members.iter_mut() {
            let target = self.documents.follow(&properties.child(name));
            let flagged =
                |value: &Value| value.get(self.direction.foreign()) == Some(&Value::Bool(true));
            if flagged(member) || target.is_ok_and(|(_, target)| flagged(target)) {
                if self.closed {
                    *member = Value::Bool(false);
                }
                foreign.push(name.clone());
            }
        }
        if let Some(Value::Array(required)) = schema.get_mut("required") {
            required.retain(|name| !foreign.iter().any(|foreign| *name == **foreign));
        }
    }
}
