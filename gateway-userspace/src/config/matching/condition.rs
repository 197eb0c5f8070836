//! What a route asks of header fields and query parameters. Every test is linear in what it reads.
//! A field or parameter that comes twice has no one value, so it is present and equals nothing.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};

/// What a route asks beyond host, path and method; all of it has to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Each name once.
    pub headers: Vec<(HeaderName, Test)>,
    /// Each name once, decoded.
    pub query: Vec<(String, Test)>,
}

/// What is asked of one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    Absent,
    Present,
    Prefix(String),
    Exact(String),
}

/// What a request has under one name.
enum Value<'v> {
    Absent,
    One(&'v [u8]),
    Several,
}

impl Conditions {
    pub fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.query.is_empty()
    }

    /// Whether a request meets them.
    pub fn hold(&self, headers: &HeaderMap, query: Option<&str>) -> bool {
        let header = |(name, test): &(HeaderName, Test)| test.holds(&of_field(headers, name));
        self.headers.iter().all(header)
            && (self.query.is_empty() || self.query_holds(query.unwrap_or_default()))
    }

    fn query_holds(&self, query: &str) -> bool {
        self.query.iter().all(|(name, test)| {
            let mut values = pairs(query).filter(|(key, _)| key.as_ref() == name.as_bytes());
            match (values.next(), values.next()) {
                (None, _) => test.holds(&Value::Absent),
                (Some((_, value)), None) => test.holds(&Value::One(&value)),
                (Some(_), Some(_)) => test.holds(&Value::Several),
            }
        })
    }

    /// Grows with what is asked: of two where one is a case of the other, the narrower has more.
    pub fn weight(&self) -> usize {
        let headers = self.headers.iter().map(|(_, test)| test.weight());
        headers.chain(self.query.iter().map(|(_, test)| test.weight())).sum()
    }

    /// Whether whatever meets these meets `other` too.
    pub fn are_a_case_of(&self, other: &Self) -> bool {
        implied(&self.headers, &other.headers) && implied(&self.query, &other.query)
    }

    /// Whether no request can meet both.
    pub fn exclude(&self, other: &Self) -> bool {
        excluded(&self.headers, &other.headers) || excluded(&self.query, &other.query)
    }
}

impl Test {
    fn holds(&self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Self::Absent, Value::Absent) | (Self::Present, Value::One(_) | Value::Several) => true,
            (Self::Prefix(prefix), Value::One(value)) => value.starts_with(prefix.as_bytes()),
            (Self::Exact(exact), Value::One(value)) => *value == exact.as_bytes(),
            (Self::Absent | Self::Present | Self::Prefix(_) | Self::Exact(_), _) => false,
        }
    }

    /// Above any prefix, whose length the configuration bounds.
    const EXACT: usize = 1 << 20;

    fn weight(&self) -> usize {
        match self {
            Self::Absent | Self::Present => 1,
            Self::Prefix(prefix) => prefix.len().saturating_add(2),
            Self::Exact(_) => Self::EXACT,
        }
    }

    fn implies(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Prefix(_) | Self::Exact(_), Self::Present) => true,
            (Self::Prefix(own) | Self::Exact(own), Self::Prefix(other)) => own.starts_with(other),
            (own, other) => own == other,
        }
    }

    fn excludes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Absent, Self::Absent) => false,
            (Self::Absent, _) | (_, Self::Absent) => true,
            (Self::Present, _) | (_, Self::Present) => false,
            (Self::Exact(a), Self::Exact(b)) => a != b,
            (Self::Exact(whole), Self::Prefix(prefix))
            | (Self::Prefix(prefix), Self::Exact(whole)) => !whole.starts_with(prefix),
            (Self::Prefix(a), Self::Prefix(b)) => !a.starts_with(b) && !b.starts_with(a),
        }
    }
}

fn implied<N: PartialEq>(narrow: &[(N, Test)], wide: &[(N, Test)]) -> bool {
    wide.iter().all(|(name, wide)| {
        narrow.iter().any(|(other, narrow)| name == other && narrow.implies(wide))
    })
}

fn excluded<N: PartialEq>(a: &[(N, Test)], b: &[(N, Test)]) -> bool {
    a.iter().any(|(name, a)| b.iter().any(|(other, b)| name == other && a.excludes(b)))
}

fn of_field<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Value<'h> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Value::Absent,
        (Some(value), None) => Value::One(value.as_bytes()),
        (Some(_), Some(_)) => Value::Several,
    }
}

/// Names and values as forms write them (WHATWG URL 5.1).
fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, [u8]>, Cow<'_, [u8]>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    })
}

/// Undoes `+` and escapes; what is no escape stays as it is.
fn decoded(text: &str) -> Cow<'_, [u8]> {
    if !text.contains(['+', '%']) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let escaped = match (first, behind) {
            (b'%', [high, low, ..]) => digit(*high).zip(digit(*low)),
            _ => None,
        };
        if let Some((high, low)) = escaped {
            plain.push(high << 4 | low);
            rest = behind.get(2..).unwrap_or_default();
        } else {
            plain.push(if *first == b'+' { b' ' } else { *first });
            rest = behind;
        }
    }
    Cow::Owned(plain)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn exact(text: &str) -> Test {
        Test::Exact(text.to_owned())
    }

    fn asks_query(name: &str, test: Test) -> Conditions {
        Conditions { query: vec![(name.to_owned(), test)], ..Conditions::default() }
    }

    #[test]
    fn a_query_is_read_as_forms_write_it_and_a_name_given_twice_equals_nothing() {
        let none = HeaderMap::new();
        for (query, equals) in [
            ("v=2", true),
            ("a&v=2&b=3", true),
            ("%76=%32", true),
            ("v=2&v=2", false),
            ("v=2&%76=3", false),
            ("v=22", false),
            ("V=2", false),
            ("", false),
        ] {
            assert_eq!(asks_query("v", exact("2")).hold(&none, Some(query)), equals, "{query}");
        }
        let spaced = asks_query("a b", exact("c d%zz"));
        assert!(spaced.hold(&none, Some("a+b=c%20d%zz")));
        assert!(asks_query("v", Test::Present).hold(&none, Some("v=1&v=2")));
        assert!(asks_query("v", Test::Absent).hold(&none, None));
        assert!(asks_query("v", Test::Prefix("be".into())).hold(&none, Some("v=beta")));
    }

    #[test]
    fn a_field_given_twice_is_present_and_equals_nothing() {
        let name = HeaderName::from_static("x-version");
        let asks = |test| Conditions { headers: vec![(name.clone(), test)], ..Default::default() };
        let mut headers = HeaderMap::new();
        assert!(asks(Test::Absent).hold(&headers, None));
        headers.append(&name, HeaderValue::from_static("2"));
        assert!(asks(exact("2")).hold(&headers, None));
        assert!(asks(Test::Prefix("2".into())).hold(&headers, None));
        headers.append(&name, HeaderValue::from_static("2"));
        assert!(!asks(exact("2")).hold(&headers, None));
        assert!(!asks(Test::Prefix("2".into())).hold(&headers, None));
        assert!(asks(Test::Present).hold(&headers, None));
        assert!(!asks(Test::Absent).hold(&headers, None));
    }

    fn test() -> impl Strategy<Value = Test> {
        let text = "[ab]{0,2}";
        prop_oneof![
            Just(Test::Absent),
            Just(Test::Present),
            text.prop_map(Test::Prefix),
            text.prop_map(Test::Exact)
        ]
    }

    fn conditions() -> impl Strategy<Value = Conditions> {
        (proptest::option::of(test()), proptest::option::of(test())).prop_map(|(x, y)| Conditions {
            headers: Vec::new(),
            query: x
                .map(|x| ("x".into(), x))
                .into_iter()
                .chain(y.map(|y| ("y".into(), y)))
                .collect(),
        })
    }

    proptest! {
        #[test]
        fn what_is_said_of_two_is_true_of_every_request(
            a in conditions(), b in conditions(), query in "((x|y)=[ab]{0,3}&){0,3}",
        ) {
            let none = HeaderMap::new();
            let holds = |one: &Conditions| one.hold(&none, Some(&query));
            if a.are_a_case_of(&b) {
                prop_assert!(!holds(&a) || holds(&b));
                prop_assert!(a.weight() >= b.weight());
                prop_assert!(b.are_a_case_of(&a) || a.weight() > b.weight());
            }
            if a.exclude(&b) {
                prop_assert!(!(holds(&a) && holds(&b)));
            }
        }
    }
}
