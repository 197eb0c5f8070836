//! Texts with values in them: `Score %{tx.anomaly_score}`.

use std::fmt;

use super::variable::{self, Pick};

/// A text, in parts.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Words {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    Value(Pick),
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Text(text) => f.write_str(text)?,
                Part::Value(pick) => write!(f, "%{{{}}}", pick.variable.name())?,
            }
        }
        Ok(())
    }
}

impl Words {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("%{") {
            let Some((inside, after)) = after.split_once('}') else { break };
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Value(variable::pick(inside)?));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// The text, if there is no value in it.
    pub(super) fn plain(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// With its values, as `value` finds them; one that is not there is nothing.
    pub(super) fn fill(&self, mut value: impl FnMut(&Pick) -> Option<Vec<u8>>) -> Vec<u8> {
        let mut filled = Vec::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => filled.extend_from_slice(text.as_bytes()),
                Part::Value(pick) => filled.extend(value(pick).unwrap_or_default()),
            }
        }
        filled
    }
}
