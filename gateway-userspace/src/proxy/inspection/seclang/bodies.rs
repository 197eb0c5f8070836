//! Reads a request's body by the processor that rules ask for.

use super::message::{Body, pairs};

/// Values inside values, at most.
const DEPTH: usize = 64;

/// Reads a body; what is wrong with it is told beside what was read.
pub fn read_body(processor: &str, _media_type: &[u8], raw: &[u8]) -> Body {
    match processor {
        "URLENCODED" => {
            let mut body = Body { processor: "URLENCODED", ..Body::default() };
            pairs(raw, &mut body.arguments);
            body
        }
        "JSON" => json(raw),
        _ => Body::default(),
    }
}

fn json(raw: &[u8]) -> Body {
    let mut body = Body { processor: "JSON", ..Body::default() };
    match serde_json::from_slice(raw) {
        Ok(value) => flatten("json", &value, 0, &mut body),
        Err(error) => body.error = Some(format!("JSON: {:?}", error.classify())),
    }
    body
}

/// Names as ModSecurity makes them: `json.order.items.array_0.id`.
fn flatten(name: &str, value: &serde_json::Value, depth: usize, body: &mut Body) {
    use serde_json::Value;
    if depth > DEPTH {
        body.error = Some("JSON: nested too deeply".to_owned());
        return;
    }
    let text = match value {
        Value::Object(members) => {
            for (key, value) in members {
                flatten(&format!("{name}.{key}"), value, depth + 1, body);
            }
            return;
        }
        Value::Array(elements) => {
            for (at, value) in elements.iter().enumerate() {
                flatten(&format!("{name}.array_{at}"), value, depth + 1, body);
            }
            return;
        }
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
    };
    body.arguments.push((name.as_bytes().to_vec(), text.into_bytes()));
}
