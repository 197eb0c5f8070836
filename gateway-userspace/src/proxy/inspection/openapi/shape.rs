//! What kind of value a schema asks for, as far as text has to become one: parameters and forms
//! arrive as text, and `12` is a number only where a number is asked for.

use serde_json::{Number, Value};

use super::document::{Documents, Place};

/// Schemas looked into, one inside the other, at most.
const DEPTH: usize = 8;

/// Kinds that a schema takes; several where it leaves a choice.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "a set of the six types of JSON")]
pub(super) struct Shape {
    pub(super) text: bool,
    pub(super) number: bool,
    pub(super) boolean: bool,
    pub(super) null: bool,
    pub(super) array: bool,
    pub(super) object: bool,
    /// Of the elements of a list.
    items: Option<Box<Shape>>,
    /// Of members, by name.
    members: Vec<(String, Shape)>,
}

/// Of what no schema says anything about.
static UNKNOWN: Shape = Shape {
    text: false,
    number: false,
    boolean: false,
    null: false,
    array: false,
    object: false,
    items: None,
    members: Vec::new(),
};

impl Shape {
    pub(super) fn of(documents: &Documents, place: &Place) -> Self {
        let mut shape = Self::default();
        shape.add(documents, place, 0);
        shape
    }

    fn add(&mut self, documents: &Documents, place: &Place, depth: usize) {
        if depth > DEPTH {
            return;
        }
        let Ok((place, Value::Object(schema))) = documents.follow(place) else { return };
        match schema.get("type") {
            Some(Value::String(kind)) => self.kind(kind),
            Some(Value::Array(kinds)) => {
                kinds.iter().filter_map(Value::as_str).for_each(|kind| self.kind(kind));
            }
            Some(_) | None => {}
        }
        self.null |= schema.get("nullable") == Some(&Value::Bool(true));
        let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
        listed.chain(schema.get("const")).for_each(|value| self.value(value));
        if schema.contains_key("items") {
            self.array = true;
            let mut items = self.items.take().unwrap_or_default();
            items.add(documents, &place.child("items"), depth + 1);
            self.items = Some(items);
        }
        if let Some(Value::Object(members)) = schema.get("properties") {
            self.object = true;
            for name in members.keys() {
                let mut member = Self::default();
                member.add(documents, &place.child("properties").child(name), depth + 1);
                self.members.push((name.clone(), member));
            }
        }
        for keyword in ["allOf", "anyOf", "oneOf"] {
            let parts = schema.get(keyword).and_then(Value::as_array).map_or(0, Vec::len);
            for i in 0..parts {
                self.add(documents, &place.child(keyword).child(&i.to_string()), depth + 1);
            }
        }
    }

    fn kind(&mut self, kind: &str) {
        match kind {
            "string" => self.text = true,
            "integer" | "number" => self.number = true,
            "boolean" => self.boolean = true,
            "null" => self.null = true,
            "array" => self.array = true,
            "object" => self.object = true,
            _ => {}
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.null = true,
            Value::Bool(_) => self.boolean = true,
            Value::Number(_) => self.number = true,
            Value::String(_) => self.text = true,
            Value::Array(_) => self.array = true,
            Value::Object(_) => self.object = true,
        }
    }

    pub(super) fn items(&self) -> &Self {
        self.items.as_deref().unwrap_or(&UNKNOWN)
    }

    pub(super) fn member(&self, name: &str) -> &Self {
        let found = self.members.iter().find(|(known, _)| known == name);
        found.map_or(&UNKNOWN, |(_, shape)| shape)
    }

    /// Names of members, for parameters that spread an object over several.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|(name, _)| name.as_str())
    }

    /// A text as the value it writes: what is asked for if it can be, else the text, which the schema
    /// then refuses.
    pub(super) fn read(&self, text: &str) -> Value {
        if self.number
            && let Some(number) = number(text)
        {
            return Value::Number(number);
        }
        match text {
            "true" if self.boolean => Value::Bool(true),
            "false" if self.boolean => Value::Bool(false),
            "" | "null" if self.null && !self.text => Value::Null,
            _ => Value::String(text.to_owned()),
        }
    }
}

/// As JSON writes numbers (RFC 8259 section 6), so that `0x10`, `+1` and `1_000` are none.
fn number(text: &str) -> Option<Number> {
    let first = text.strip_prefix('-').unwrap_or(text).bytes().next()?;
    if !first.is_ascii_digit() || text.contains(|c: char| c.is_ascii_whitespace()) {
        return None;
    }
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shape(schema: &Value) -> Shape {
        let texts = [("a".to_owned(), schema.to_string().into_bytes())];
        Shape::of(&Documents::read(&texts).unwrap(), &Place::root(0))
    }

    #[test]
    fn text_becomes_what_is_asked_for() {
        let number = shape(&json!({"type": "integer"}));
        assert_eq!(number.read("12"), json!(12));
        for text in ["0x10", "+1", "1_0", "1 ", " 1", "01", "", "one", "NaN"] {
            assert_eq!(number.read(text), json!(text), "{text}");
        }
        assert_eq!(shape(&json!({"type": "string"})).read("12"), json!("12"));
        assert_eq!(shape(&json!({"type": ["boolean", "null"]})).read("true"), json!(true));
        assert_eq!(shape(&json!({"type": ["boolean", "null"]})).read(""), json!(null));
        assert_eq!(
            shape(&json!({"anyOf": [{"const": 5}, {"type": "string"}]})).read("5"),
            json!(5)
        );
    }

    #[test]
    fn members_and_elements_have_shapes_of_their_own() {
        let shape = shape(&json!({
            "allOf": [{"$ref": "#/$defs/page"}],
            "$defs": {"page": {"properties": {"ids": {"items": {"type": "number"}}}}}
        }));
        assert!(shape.object);
        assert_eq!(shape.member("ids").items().read("1.5"), json!(1.5));
        assert_eq!(shape.names().collect::<Vec<_>>(), ["ids"]);
    }
}
