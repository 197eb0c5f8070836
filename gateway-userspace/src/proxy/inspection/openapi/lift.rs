//! OpenAPI 3.0's own dialect of JSON Schema, as JSON Schema 2020-12 writes it (OpenAPI 3.1 uses that
//! as it is): `nullable`, exclusive bounds that are flags, and a `$ref` beside which nothing counts.
//! Both versions' number formats become bounds: an amount beyond them is what overflows a supplier.

use serde_json::{Map, Value, json};

/// Makes a schema of 3.0 one of 2020-12. Schemas inside it are for the caller.
pub(super) fn from_3_0(schema: &mut Map<String, Value>) {
    if let Some(reference) = schema.remove("$ref") {
        // 3.0.3, Reference Object: "any sibling elements of a $ref are ignored".
        schema.clear();
        schema.insert("$ref".to_owned(), reference);
        return;
    }
    for (flag, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        match schema.remove(flag) {
            Some(Value::Bool(true)) => {
                if let Some(limit) = schema.remove(bound) {
                    schema.insert(flag.to_owned(), limit);
                }
            }
            Some(Value::Bool(false)) | None => {}
            Some(other) => {
                schema.insert(flag.to_owned(), other);
            }
        }
    }
    if schema.remove("nullable") == Some(Value::Bool(true)) {
        take_null(schema);
    }
}

/// `nullable` widens `type` (3.0.3, Schema Object); an `enum` has to list the null by itself.
fn take_null(schema: &mut Map<String, Value>) {
    if let Some(Value::String(kind)) = schema.get("type") {
        let kinds = json!([kind, "null"]);
        schema.insert("type".to_owned(), kinds);
    }
}

/// Bounds of `int32` and `int64`, where the schema has none of its own.
pub(super) fn bound_integers(schema: &mut Map<String, Value>) {
    let bounds = match schema.get("format").and_then(Value::as_str) {
        Some("int32") => (json!(i32::MIN), json!(i32::MAX)),
        Some("int64") => (json!(i64::MIN), json!(i64::MAX)),
        Some(_) | None => return,
    };
    if !schema.contains_key("exclusiveMinimum") {
        schema.entry("minimum").or_insert(bounds.0);
    }
    if !schema.contains_key("exclusiveMaximum") {
        schema.entry("maximum").or_insert(bounds.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifted(schema: &Value) -> Value {
        let mut schema = schema.as_object().unwrap().clone();
        from_3_0(&mut schema);
        bound_integers(&mut schema);
        Value::Object(schema)
    }

    #[test]
    fn reads_the_dialect_of_3_0() {
        assert_eq!(
            lifted(&json!({"type": "string", "nullable": true})),
            json!({"type": ["string", "null"]})
        );
        assert_eq!(
            lifted(&json!({"minimum": 1, "exclusiveMinimum": true, "maximum": 9})),
            json!({"exclusiveMinimum": 1, "maximum": 9})
        );
        assert_eq!(
            lifted(&json!({"$ref": "#/a", "nullable": true, "type": "string"})),
            json!({"$ref": "#/a"})
        );
        assert_eq!(
            lifted(&json!({"type": "integer", "format": "int32", "maximum": 5})),
            json!({"type": "integer", "format": "int32", "maximum": 5, "minimum": i32::MIN})
        );
    }
}
