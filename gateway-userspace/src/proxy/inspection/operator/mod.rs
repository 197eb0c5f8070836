//! Operators of SecLang (`@...`), compiled at load and asked with bytes.
//!
//! What could not be decided (a backtracking bound, a fault in a library) is said, never taken for
//! "no match": the caller chooses. What this engine cannot do is an error at load.

mod address;
mod encoding;
mod expression;
mod injection;
mod number;
pub mod pattern;
mod phrases;
mod text;

use std::io;

use self::address::Networks;
use self::encoding::ByteRange;
use self::expression::Expression;
use self::number::Comparison;
use self::pattern::PatternError;
use self::phrases::Phrases;
use self::text::Text;
use super::transform::percent;

/// Groups a match may leave for `%{TX.0}` to `%{TX.9}`.
pub const MAX_CAPTURES: usize = 10;

/// One operator with its argument.
#[derive(Debug)]
pub struct Operator {
    argument: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Expression(Expression),
    Phrases(Phrases),
    Text(Text),
    Number(Comparison),
    Range(ByteRange),
    UrlEncoding,
    Utf8Encoding,
    Address(Networks),
    Sqli,
    Xss,
    Always,
    Never,
    /// Needs a source of facts that is not there: never matches, and says so at load.
    NoSource,
}

/// What an operator says of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    NoMatch,
    Match,
    Undecided(Undecided),
}

/// Why an operator could not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undecided {
    /// An expression with look-around or back references took more steps than it may.
    Steps,
    /// An expression made of a macro is none.
    Expression,
    /// A list of addresses made of a macro is none.
    Addresses,
    /// The detector of injections panicked.
    Detector,
}

/// What a match captured, by the number of its group.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Captures {
    pub groups: Vec<(usize, Vec<u8>)>,
}

impl Captures {
    fn keep(&mut self, group: usize, text: &[u8]) {
        if group < MAX_CAPTURES && self.groups.len() < MAX_CAPTURES {
            self.groups.push((group, text.to_vec()));
        }
    }
}

/// What the operator of a rule set should know about one of its operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caution {
    /// The expression needs what no linear-time engine has: it runs with a bound on its steps.
    Backtracks(&'static str),
    /// No source of facts is configured for it: it never matches.
    NeverMatches,
}

#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    #[error("unknown operator @{0}")]
    Unknown(String),
    #[error("@{0} is not supported: {1}")]
    Unsupported(String, &'static str),
    #[error("expression")]
    Pattern(#[from] PatternError),
    #[error("reading {path}")]
    File { path: String, source: io::Error },
    #[error("{0:?} is no address or network")]
    Address(String),
    #[error("{0:?} is no range of bytes from 0 to 255")]
    Range(String),
    #[error("list of phrases")]
    Phrases(#[source] Box<aho_corasick::BuildError>),
}

/// Reads a file that a rule names.
pub type ReadFile<'a> = &'a dyn Fn(&str) -> io::Result<Vec<u8>>;

impl Operator {
    /// `name` without `@`, in any case; a macro in `argument` (`%{..}`) is left for `matches`.
    pub fn compile(name: &str, argument: &str, read: ReadFile<'_>) -> Result<Self, OperatorError> {
        let lower = name.to_ascii_lowercase();
        let kind = match lower.as_str() {
            "rx" => Kind::Expression(Expression::compile(argument, expression::Mode::First)?),
            "rxglobal" => Kind::Expression(Expression::compile(argument, expression::Mode::All)?),
            "verifycc" => Kind::Expression(Expression::compile(argument, expression::Mode::Luhn)?),
            "pm" => Kind::Phrases(Phrases::of_words(argument)?),
            "pmf" | "pmfromfile" => Kind::Phrases(Phrases::of_lines(&file(argument, read)?)?),
            "ipmatch" => Kind::Address(Networks::of_list(argument)?),
            "ipmatchf" | "ipmatchfromfile" => {
                Kind::Address(Networks::of_lines(&file(argument, read)?)?)
            }
            "validatebyterange" => Kind::Range(ByteRange::parse(argument)?),
            "validateurlencoding" => Kind::UrlEncoding,
            "validateutf8encoding" => Kind::Utf8Encoding,
            "detectsqli" => Kind::Sqli,
            "detectxss" => Kind::Xss,
            "unconditionalmatch" => Kind::Always,
            "nomatch" => Kind::Never,
            "geolookup" | "rbl" => Kind::NoSource,
            _ => match (Text::named(&lower), Comparison::named(&lower)) {
                (Some(text), _) => Kind::Text(text),
                (None, Some(comparison)) => Kind::Number(comparison),
                (None, None) => return Err(unsupported(name, &lower)),
            },
        };
        Ok(Self { argument: argument.to_owned(), kind })
    }

    pub fn argument(&self) -> &str {
        &self.argument
    }

    /// Whether the argument must be expanded before `matches` is asked.
    pub fn has_macro(&self) -> bool {
        self.argument.contains("%{")
    }

    /// Asks about one value; `expanded` is the argument with its macros replaced, if it has any.
    pub fn matches(
        &self,
        value: &[u8],
        expanded: Option<&[u8]>,
        captures: Option<&mut Captures>,
    ) -> Outcome {
        let argument = expanded.unwrap_or(self.argument.as_bytes());
        match &self.kind {
            Kind::Expression(expression) => expression.matches(value, expanded, captures),
            Kind::Phrases(phrases) => phrases.matches(value, captures),
            Kind::Text(text) => Outcome::from(text.holds(value, argument)),
            Kind::Number(comparison) => Outcome::from(comparison.holds(value, argument)),
            Kind::Range(range) => Outcome::from(range.is_left_by(value)),
            Kind::UrlEncoding => Outcome::from(percent::is_broken(value)),
            Kind::Utf8Encoding => Outcome::from(std::str::from_utf8(value).is_err()),
            Kind::Address(networks) => networks.matches(value, expanded),
            Kind::Sqli => injection::sql(value, captures),
            Kind::Xss => injection::script(value, captures),
            Kind::Always => Outcome::Match,
            Kind::Never | Kind::NoSource => Outcome::NoMatch,
        }
    }

    /// Strings of which every matching value contains one, in lower case and whatever the case of
    /// the value; `None` if there are none short of looking.
    pub fn literals(&self) -> Option<Vec<Vec<u8>>> {
        match &self.kind {
            Kind::Expression(expression) => expression.literals(),
            Kind::Phrases(phrases) => Some(phrases.literals()),
            Kind::Text(text) if !self.has_macro() => text.literal(self.argument.as_bytes()),
            Kind::Text(_)
            | Kind::Number(_)
            | Kind::Range(_)
            | Kind::UrlEncoding
            | Kind::Utf8Encoding
            | Kind::Address(_)
            | Kind::Sqli
            | Kind::Xss
            | Kind::Always
            | Kind::Never
            | Kind::NoSource => None,
        }
    }

    /// The expression in the dialect of the `regex` crate, for a set of many; none if it backtracks,
    /// has a macro, or the operator is another.
    pub fn linear_pattern(&self) -> Option<&str> {
        match &self.kind {
            Kind::Expression(expression) => expression.linear_pattern(),
            Kind::Phrases(_)
            | Kind::Text(_)
            | Kind::Number(_)
            | Kind::Range(_)
            | Kind::UrlEncoding
            | Kind::Utf8Encoding
            | Kind::Address(_)
            | Kind::Sqli
            | Kind::Xss
            | Kind::Always
            | Kind::Never
            | Kind::NoSource => None,
        }
    }

    pub fn caution(&self) -> Option<Caution> {
        match &self.kind {
            Kind::Expression(expression) => expression.backtracks().map(Caution::Backtracks),
            Kind::NoSource => Some(Caution::NeverMatches),
            Kind::Phrases(_)
            | Kind::Text(_)
            | Kind::Number(_)
            | Kind::Range(_)
            | Kind::UrlEncoding
            | Kind::Utf8Encoding
            | Kind::Address(_)
            | Kind::Sqli
            | Kind::Xss
            | Kind::Always
            | Kind::Never => None,
        }
    }
}

impl From<bool> for Outcome {
    fn from(matched: bool) -> Self {
        if matched { Self::Match } else { Self::NoMatch }
    }
}

fn file(path: &str, read: ReadFile<'_>) -> Result<Vec<u8>, OperatorError> {
    let path = path.trim();
    if path.contains("://") {
        let why = "rules may not fetch lists by themselves";
        return Err(OperatorError::Unsupported("..FromFile".to_owned(), why));
    }
    read(path).map_err(|source| OperatorError::File { path: path.to_owned(), source })
}

fn unsupported(name: &str, lower: &str) -> OperatorError {
    let why = match lower {
        "inspectfile" => "rules may not run programs",
        "fuzzyhash" => "there is no fuzzy hashing here",
        "gsblookup" => "the service it asks is gone",
        "validatedtd" | "validateschema" => "declare the schema on the route",
        "verifycpf" | "verifyssn" | "verifysvnr" => "use @rx",
        _ => return OperatorError::Unknown(name.to_owned()),
    };
    OperatorError::Unsupported(name.to_owned(), why)
}

#[cfg(test)]
mod tests;
