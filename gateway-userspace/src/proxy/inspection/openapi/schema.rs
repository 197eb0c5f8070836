//! Where schemas stand inside a schema. Everything else in one (`example`, `enum`, `const`) is data,
//! and a `$ref` there is a word like any other.

use serde_json::{Map, Value};

/// How a schema stands to the one around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stand {
    /// It judges the same value.
    Same,
    /// It judges the same value, to another end than to accept it.
    Aside,
    /// It judges a value inside that one.
    Inside,
    /// Nobody is judged by it but by reference.
    Kept,
}

/// How a keyword holds schemas.
#[derive(Debug, Clone, Copy)]
enum Form {
    One,
    Listed,
    Named,
    /// A boolean, one or a list of them.
    Any,
}

const KEYWORDS: [(&str, Form, Stand); 22] = [
    ("allOf", Form::Listed, Stand::Same),
    ("anyOf", Form::Listed, Stand::Same),
    ("oneOf", Form::Listed, Stand::Same),
    ("then", Form::One, Stand::Same),
    ("else", Form::One, Stand::Same),
    ("dependentSchemas", Form::Named, Stand::Same),
    ("if", Form::One, Stand::Aside),
    ("not", Form::One, Stand::Aside),
    ("properties", Form::Named, Stand::Inside),
    ("patternProperties", Form::Named, Stand::Inside),
    ("additionalProperties", Form::One, Stand::Inside),
    ("unevaluatedProperties", Form::One, Stand::Inside),
    ("items", Form::Any, Stand::Inside),
    ("prefixItems", Form::Listed, Stand::Inside),
    ("additionalItems", Form::One, Stand::Inside),
    ("unevaluatedItems", Form::One, Stand::Inside),
    ("contains", Form::One, Stand::Aside),
    ("propertyNames", Form::One, Stand::Aside),
    ("contentSchema", Form::One, Stand::Aside),
    ("dependencies", Form::Named, Stand::Aside),
    ("$defs", Form::Named, Stand::Kept),
    ("definitions", Form::Named, Stand::Kept),
];

/// Calls `visit` for each schema directly inside this one.
pub(super) fn each(schema: &Map<String, Value>, mut visit: impl FnMut(Stand, &Value)) {
    for (keyword, form, stand) in KEYWORDS {
        let Some(value) = schema.get(keyword) else { continue };
        match (form, value) {
            (Form::Listed | Form::Any, Value::Array(list)) => {
                for one in list {
                    visit(stand, one);
                }
            }
            (Form::Named, Value::Object(named)) => {
                for one in named.values() {
                    visit(stand, one);
                }
            }
            (Form::One | Form::Any, one) => visit(stand, one),
            (Form::Listed | Form::Named, _) => {}
        }
    }
}

/// The same, to change them. Where each stands is told by its keyword and, in a list or among names,
/// by its step.
pub(super) fn each_mut<E>(
    schema: &mut Map<String, Value>,
    mut visit: impl FnMut(Stand, &[&str], &mut Value) -> Result<(), E>,
) -> Result<(), E> {
    for (keyword, form, stand) in KEYWORDS {
        let Some(value) = schema.get_mut(keyword) else { continue };
        match (form, value) {
            (Form::Listed | Form::Any, Value::Array(list)) => {
                for (i, one) in list.iter_mut().enumerate() {
                    visit(stand, &[keyword, &i.to_string()], one)?;
                }
            }
            (Form::Named, Value::Object(named)) => {
                for (name, one) in named.iter_mut() {
                    visit(stand, &[keyword, name], one)?;
                }
            }
            (Form::One | Form::Any, one) => visit(stand, &[keyword], one)?,
            (Form::Listed | Form::Named, _) => {}
        }
    }
    Ok(())
}
