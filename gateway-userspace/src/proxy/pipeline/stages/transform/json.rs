//! Changes a JSON text without reading its values: what is kept is copied byte for byte, so that no
//! number loses a digit (money, identifiers above 2^53) and of two members of one name both are
//! changed. The text has been checked to be JSON before; what the walk cannot follow is an error.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use crate::config::model::{JsonEdit, Pointer};

/// Arrays and objects inside each other.
const DEPTH: usize = 128;

/// Stands in for what is redacted.
const REDACTED: &[u8] = b"\"[redacted]\"";

/// What a route changes, as a tree of names.
#[derive(Debug)]
pub(super) struct Edits {
    changes: Node,
    /// Where only some of the document is kept.
    selection: Option<Node>,
}

#[derive(Debug, Default)]
struct Node {
    change: Change,
    children: Vec<(String, Node)>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Change {
    #[default]
    Keep,
    Rename(String),
    Redact,
    /// In a selection: this and all below.
    Select,
    Remove,
}

/// The text is no JSON, or nested too deeply.
#[derive(Debug, thiserror::Error)]
#[error("not JSON, or nested too deeply")]
pub(super) struct NotJson;

impl Edits {
    pub(super) fn new(edit: &JsonEdit) -> Self {
        let mut changes = Node::default();
        for (pointer, name) in &edit.rename {
            changes.put(pointer, &Change::Rename(name.clone()));
        }
        // The stricter ones last: they stand.
        edit.redact.iter().for_each(|pointer| changes.put(pointer, &Change::Redact));
        edit.remove.iter().for_each(|pointer| changes.put(pointer, &Change::Remove));
        let mut selection = Node::default();
        edit.select.iter().for_each(|pointer| selection.put(pointer, &Change::Select));
        Self { changes, selection: (!edit.select.is_empty()).then_some(selection) }
    }

    pub(super) fn apply(&self, text: &[u8]) -> Result<Vec<u8>, NotJson> {
        let text = std::str::from_utf8(text).map_err(|_source| NotJson)?;
        serde_json::from_str::<IgnoredAny>(text).map_err(|_source| NotJson)?;
        let mut walk = Walk { text: text.as_bytes(), at: 0, out: Vec::with_capacity(text.len()) };
        let here = Here {
            changes: vec![&self.changes],
            selection: self.selection.as_ref().map(|node| vec![node]),
        };
        walk.value(&here, 0)?;
        Ok(walk.out)
    }
}

impl Node {
    fn put(&mut self, pointer: &Pointer, change: &Change) {
        let mut node = self;
        for segment in &pointer.0 {
            let known = node.children.iter().position(|(name, _)| name == segment);
            let place = known.unwrap_or(node.children.len());
            if known.is_none() {
                node.children.push((segment.clone(), Self::default()));
            }
            let Some((_, child)) = node.children.get_mut(place) else { return };
            node = child;
        }
        node.change = change.clone();
    }
}

/// The nodes that a value has met on its way.
struct Here<'e> {
    changes: Vec<&'e Node>,
    /// `None` keeps all.
    selection: Option<Vec<&'e Node>>,
}

/// What becomes of a member or element.
enum Fate<'e> {
    Drop,
    Redact,
    Keep { name: Option<&'e str>, below: Here<'e> },
}

impl<'e> Here<'e> {
    fn fate(&self, name: &str) -> Fate<'e> {
        let changes = below(&self.changes, name);
        let selection = match &self.selection {
            None => None,
            Some(nodes) => match below(nodes, name) {
                none if none.is_empty() => return Fate::Drop,
                some if some.iter().any(|node| node.change == Change::Select) => None,
                some => Some(some),
            },
        };
        let has = |change: &Change| changes.iter().any(|node| node.change == *change);
        if has(&Change::Remove) {
            return Fate::Drop;
        }
        if has(&Change::Redact) {
            return Fate::Redact;
        }
        let name = changes.iter().find_map(|node| match &node.change {
            Change::Rename(name) => Some(name.as_str()),
            Change::Keep | Change::Redact | Change::Select | Change::Remove => None,
        });
        Fate::Keep { name, below: Here { changes, selection } }
    }

    /// Whether nothing below can be changed any more.
    fn is_plain(&self) -> bool {
        self.changes.is_empty() && self.selection.is_none()
    }
}

fn below<'e>(nodes: &[&'e Node], name: &str) -> Vec<&'e Node> {
    let mut found = Vec::new();
    for node in nodes {
        let fits = |(child, _): &&(String, Node)| child == name || child == "*";
        found.extend(node.children.iter().filter(fits).map(|(_, node)| node));
    }
    found
}

/// A text on its way to another.
struct Walk<'t> {
    text: &'t [u8],
    at: usize,
    out: Vec<u8>,
}

impl<'t> Walk<'t> {
    fn value(&mut self, here: &Here<'_>, depth: usize) -> Result<(), NotJson> {
        if depth > DEPTH {
            return Err(NotJson);
        }
        match self.peek()? {
            b'{' => self.object(here, depth),
            b'[' => self.array(here, depth),
            _ if here.selection.is_some() => {
                // What was to be selected is further down, and there is no further down.
                self.skip()?;
                self.out.extend_from_slice(b"null");
                Ok(())
            }
            _ => self.copy(),
        }
    }

    fn object(&mut self, here: &Here<'_>, depth: usize) -> Result<(), NotJson> {
        self.take(b'{')?;
        self.out.push(b'{');
        let mut first = true;
        while self.peek()? != b'}' {
            let key = self.string()?;
            let name = decoded(key)?;
            let fate = here.fate(&name);
            let key = match &fate {
                Fate::Keep { name: Some(new), .. } => {
                    Cow::Owned(serde_json::to_vec(new).map_err(|_source| NotJson)?)
                }
                Fate::Drop | Fate::Redact | Fate::Keep { name: None, .. } => Cow::Borrowed(key),
            };
            self.take(b':')?;
            self.part(&fate, Some(&key), &mut first, depth)?;
            self.comma(b'}')?;
        }
        self.take(b'}')?;
        self.out.push(b'}');
        Ok(())
    }

    fn array(&mut self, here: &Here<'_>, depth: usize) -> Result<(), NotJson> {
        self.take(b'[')?;
        self.out.push(b'[');
        let mut first = true;
        let mut index = 0_usize;
        while self.peek()? != b']' {
            let fate = here.fate(&index.to_string());
            self.part(&fate, None, &mut first, depth)?;
            self.comma(b']')?;
            index += 1;
        }
        self.take(b']')?;
        self.out.push(b']');
        Ok(())
    }

    fn part(
        &mut self,
        fate: &Fate<'_>,
        key: Option<&[u8]>,
        first: &mut bool,
        depth: usize,
    ) -> Result<(), NotJson> {
        if matches!(fate, Fate::Drop) {
            return self.skip();
        }
        if !std::mem::take(first) {
            self.out.push(b',');
        }
        if let Some(key) = key {
            self.out.extend_from_slice(key);
            self.out.push(b':');
        }
        match fate {
            Fate::Keep { below, .. } if below.is_plain() => self.copy(),
            Fate::Keep { below, .. } => self.value(below, depth + 1),
            Fate::Drop | Fate::Redact => {
                self.skip()?;
                self.out.extend_from_slice(REDACTED);
                Ok(())
            }
        }
    }

    fn copy(&mut self) -> Result<(), NotJson> {
        self.space();
        let start = self.at;
        self.pass()?;
        self.out.extend_from_slice(self.text.get(start..self.at).ok_or(NotJson)?);
        Ok(())
    }

    fn skip(&mut self) -> Result<(), NotJson> {
        self.space();
        self.pass()
    }

    /// Goes past one value, without recursion.
    fn pass(&mut self) -> Result<(), NotJson> {
        let mut open = 0_usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    open += 1;
                    self.at += 1;
                    continue;
                }
                b'}' | b']' => {
                    open = open.checked_sub(1).ok_or(NotJson)?;
                    self.at += 1;
                }
                b',' | b':' if open > 0 => {
                    self.at += 1;
                    continue;
                }
                _ => self.scalar()?,
            }
            if open == 0 {
                return Ok(());
            }
        }
    }

    /// A number, `true`, `false` or `null`.
    fn scalar(&mut self) -> Result<(), NotJson> {
        let rest = self.text.get(self.at..).ok_or(NotJson)?;
        let end = rest.iter().position(|byte| b",:]}\" \t\r\n{[".contains(byte));
        let length = end.unwrap_or(rest.len());
        if length == 0 {
            return Err(NotJson);
        }
        self.at += length;
        Ok(())
    }

    /// A string with its quotes.
    fn string(&mut self) -> Result<&'t [u8], NotJson> {
        self.space();
        let start = self.at;
        self.take(b'"')?;
        loop {
            match self.next()? {
                b'"' => return self.text.get(start..self.at).ok_or(NotJson),
                b'\\' => {
                    self.next()?;
                }
                _ => {}
            }
        }
    }

    fn comma(&mut self, end: u8) -> Result<(), NotJson> {
        if self.peek()? == end { Ok(()) } else { self.take(b',') }
    }

    fn take(&mut self, wanted: u8) -> Result<(), NotJson> {
        self.space();
        if self.next()? == wanted { Ok(()) } else { Err(NotJson) }
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Result<u8, NotJson> {
        self.space();
        self.text.get(self.at).copied().ok_or(NotJson)
    }

    fn next(&mut self) -> Result<u8, NotJson> {
        let byte = self.text.get(self.at).copied().ok_or(NotJson)?;
        self.at += 1;
        Ok(byte)
    }

    fn space(&mut self) {
        while self.text.get(self.at).is_some_and(|byte| b" \t\r\n".contains(byte)) {
            self.at += 1;
        }
    }
}

/// A string's text.
fn decoded(quoted: &[u8]) -> Result<String, NotJson> {
    serde_json::from_slice(quoted).map_err(|_source| NotJson)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn edit(select: &[&str], remove: &[&str], redact: &[&str], rename: &[(&str, &str)]) -> Edits {
        let all = |texts: &[&str]| texts.iter().map(|text| Pointer::parse(text).unwrap()).collect();
        Edits::new(&JsonEdit {
            select: all(select),
            remove: all(remove),
            redact: all(redact),
            rename: rename
                .iter()
                .map(|(from, to)| (Pointer::parse(from).unwrap(), (*to).to_owned()))
                .collect(),
            bytes: 0,
            pass: false,
        })
    }

    fn applied(edits: &Edits, text: &str) -> String {
        String::from_utf8(edits.apply(text.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn changes_what_is_named_and_copies_the_rest_byte_for_byte() {
        let edits = edit(&[], &["/debug", "/items/*/trace"], &["/card/number"], &[("/a/b", "c")]);
        for (text, changed) in [
            (
                r#"{"id":123456789012345678901234567890, "rate":1.10,"debug":{"x":[1,{"y":"}"}]}}"#,
                r#"{"id":123456789012345678901234567890,"rate":1.10}"#,
            ),
            (
                r#"{"card":{"number":"4111","exp":"1\u002f2"}}"#,
                r#"{"card":{"number":"[redacted]","exp":"1\u002f2"}}"#,
            ),
            // An escaped name is the same name, and a second one of it is changed too.
            (
                r#"{"c\u0061rd":{"number":1,"number":[2]}}"#,
                r#"{"c\u0061rd":{"number":"[redacted]","number":"[redacted]"}}"#,
            ),
            (r#"{"items":[{"trace":1,"k":2},{"k":[ ]},3]}"#, r#"{"items":[{"k":2},{"k":[ ]},3]}"#),
            (r#"{"a":{"b":null,"d":true}}"#, r#"{"a":{"c":null,"d":true}}"#),
            (r#"{"debug":1}"#, "{}"),
            ("[1, 2]", "[1,2]"),
            (r#" "debug" "#, r#""debug""#),
        ] {
            assert_eq!(applied(&edits, text), changed, "{text}");
        }
    }

    #[test]
    fn a_selection_keeps_nothing_else() {
        let edits = edit(&["/id", "/owner/name", "/items/*/id"], &[], &["/owner/name/last"], &[]);
        for (text, kept) in [
            (
                r#"{"id":{"x":1},"secret":2,"owner":{"name":{"first":"A","last":"B"},"mail":"m"}}"#,
                r#"{"id":{"x":1},"owner":{"name":{"first":"A","last":"[redacted]"}}}"#,
            ),
            (
                r#"{"items":[{"id":1,"s":2},{"s":3},4],"owner":"text"}"#,
                r#"{"items":[{"id":1},{},null],"owner":null}"#,
            ),
            ("[]", "[]"),
            ("5", "null"),
        ] {
            assert_eq!(applied(&edits, text), kept, "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_an_error() {
        let edits = edit(&[], &["/a/b"], &[], &[]);
        let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
        for text in
            ["", "{", "{\"a\":}", "[1,]", "{} {}", "nul", "\"\u{1}\"", "{'a':1}", &deep[..4000]]
        {
            assert!(edits.apply(text.as_bytes()).is_err(), "{text:.40}");
        }
        assert!(edits.apply(b"\"\xff\"").is_err());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[ab\"\\\\é{}]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[abc]", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn removes_as_a_parser_would(value in any_json()) {
            let edits = edit(&[], &["/a", "/b/c", "/*/a/b"], &[], &[]);
            let changed: Value = serde_json::from_str(&applied(&edits, &value.to_string())).unwrap();
            let mut wanted = value.clone();
            remove(&mut wanted);
            prop_assert_eq!(changed, wanted);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            drop(edit(&["/a"], &["/b"], &["/*"], &[]).apply(&bytes));
        }
    }

    /// `/a`, `/b/c` and `/*/a/b`.
    fn remove(value: &mut Value) {
        let drop_from = |value: Option<&mut Value>, name: &str| {
            if let Some(Value::Object(map)) = value {
                map.remove(name);
            }
        };
        drop_from(Some(value), "a");
        drop_from(value.get_mut("b"), "c");
        let inner: Vec<&mut Value> = match value {
            Value::Object(map) => map.values_mut().collect(),
            Value::Array(all) => all.iter_mut().collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        };
        for one in inner {
            drop_from(one.get_mut("a"), "b");
        }
    }

    #[test]
    fn the_deepest_that_is_taken_is_walked() {
        let edits = edit(&[], &["/a"], &[], &[]);
        assert_eq!(applied(&edits, &json!({ "b": [[[]]] }).to_string()), r#"{"b":[[[]]]}"#);
    }
}
