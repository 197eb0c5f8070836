//! What expressions become, and that they match what they matched.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;

use super::*;

fn linear(source: &str) -> regex::bytes::Regex {
    let translated = translate(source.as_bytes()).unwrap();
    assert_eq!(translated.backtracks, None, "{source}");
    builder(&translated.pattern).build().unwrap()
}

#[test]
fn matches_what_pcre_matches() {
    let rows: &[(&str, &[u8], bool)] = &[
        (r"^a.c$", b"a\nc", true),
        // `$` and `^` stand at lines, not only at the ends.
        (r"^b$", b"a\nb\nc", true),
        (r"\x{bc}", b"\xbc", true),
        (r"\xbc", b"\xbc", true),
        (r"\xbc", "\u{bc}".as_bytes(), true),
        (r"é", "é".as_bytes(), true),
        (r"^[é]$", b"\xe9", false),
        (r"\w", b"\xe9", false),
        (r"a{,2}b", b"a{,2}b", true),
        (r"a{", b"a{", true),
        (r"^a{2}$", b"aa", true),
        (r"^[]a]+$", b"a]", true),
        (r"^[^]]+$", b"a]", false),
        (r"^[a\-z]+$", b"a-z", true),
        (r"^[\w-.]+$", b"a-.", true),
        (r"^[a-\d]+$", b"a-7", true),
        (r"(?i)^[^a]$", b"A", false),
        (r"^[[:alpha:]_]+$", b"Ab_", true),
        (r"^[[:^digit:]]+$", b"1", false),
        (r"^[\]\[]+$", b"][", true),
        (r"^[&&~~||-]+$", b"&~|-", true),
        (r"\Qa.b\E.", b"a.bc", true),
        (r"\Qa.b\E", b"axb", false),
        (r"^\h+$", b" \t\xa0", true),
        (r"^\s$", b"\x0b", true),
        (r"\#\ \-\'\/\<", b"# -'/<", true),
        (r"\e\a\cA\0\012", b"\x1b\x07\x01\0\n", true),
        (r"(?#note)a", b"a", true),
        (r"(?<word>a)(?'b'c)", b"ac", true),
        (r"(?x) a b # rest", b"ab", true),
        (r"a b", b"a b", true),
        (r"]}", b"]}", true),
    ];
    for (source, value, expected) in rows {
        assert_eq!(linear(source).is_match(value), *expected, "{source}");
    }
}

#[test]
fn what_needs_backtracking_is_named() {
    let why = |source: &str| translate(source.as_bytes()).unwrap().backtracks;
    assert_eq!(why(r"(?!a)b"), Some("look-ahead"));
    assert_eq!(why(r"(?<=a)b"), Some("look-behind"));
    assert_eq!(why(r"(a)\1"), Some("a back reference"));
    assert_eq!(why(r"(?>a+)b"), Some("an atomic group"));
    assert_eq!(why(r"a++b"), Some("a possessive repetition"));
    assert_eq!(why(r"[a](?:b)c+?"), None);
}

#[test]
fn what_has_no_equal_is_refused() {
    for source in [r"(?R)", r"(?|a|b)", r"(?(1)a)", r"(*ACCEPT)", r"\p{L}", r"\x{100}", r"[z-a]"] {
        assert!(translate(source.as_bytes()).is_err(), "{source}");
    }
    for source in [r"[a", r"a\", r"(?#a"] {
        let refused = translate(source.as_bytes());
        assert!(matches!(refused, Err(PatternError::Unfinished(_))), "{source}");
    }
}

#[test]
fn required_strings_are_found() {
    let found = |source: &str| {
        let strings = literals(&translate(source.as_bytes()).unwrap().pattern)?;
        Some(strings.into_iter().map(|one| String::from_utf8(one).unwrap()).collect::<Vec<_>>())
    };
    let strings = |list: &[&str]| Some(list.iter().map(|one| (*one).to_owned()).collect());
    assert_eq!(found(r"(?i)union\s+select"), strings(&["select"]));
    assert_eq!(
        found(r"\b(?:etc|bin)/(?:passwd|sh)\b"),
        strings(&["bin/passwd", "bin/sh", "etc/passwd", "etc/sh",])
    );
    assert_eq!(found(r"a+b?cde"), strings(&["bcde", "cde"]));
    assert_eq!(found(r"\d+"), None);
    assert_eq!(found(r"abc|\d"), None);
    assert_eq!(found(r"(?i)[^a-z]"), None);
}

/// The expressions of the Core Rule Set, if it is installed.
fn of_the_rule_set() -> BTreeMap<String, bool> {
    let folder = Path::new("/usr/share/modsecurity-crs/rules");
    let Ok(files) = folder.read_dir() else { return BTreeMap::new() };
    let texts = files.filter_map(|file| std::fs::read_to_string(file.unwrap().path()).ok());
    let texts: Vec<String> = texts.map(|text| text.replace("\\\n", "")).collect();
    let rules = texts.iter().flat_map(|text| text.lines()).filter(|line| !line.starts_with('#'));
    rules.filter_map(expression_of).map(|one| (one, true)).collect()
}

/// What stands behind `"@rx ` up to the closing quote.
fn expression_of(rule: &str) -> Option<String> {
    let start = rule.find("\"@rx ").map(|at| at + 5).or(rule.find("\"!@rx ").map(|at| at + 6))?;
    let mut out = String::new();
    let mut escaped = false;
    for letter in rule[start..].chars() {
        match letter {
            '"' if escaped => {
                out.pop();
                out.push('"');
            }
            '"' => return Some(out),
            other => out.push(other),
        }
        escaped = letter == '\\' && !escaped;
    }
    None
}

#[test]
fn every_expression_of_the_rule_set_compiles() {
    let expressions = of_the_rule_set();
    if expressions.is_empty() {
        println!("NOT RUN: the rule set is not installed (cargo xtask setup)");
        return;
    }
    let mut backtracking = 0;
    let mut with_literals = 0;
    for source in expressions.keys().filter(|source| !source.contains("%{")) {
        let translated = translate(source.as_bytes()).unwrap_or_else(|e| panic!("{e}: {source}"));
        if translated.backtracks.is_some() {
            backtracking += 1;
            continue;
        }
        builder(&translated.pattern).build().unwrap_or_else(|e| panic!("{e}: {source}"));
        with_literals += usize::from(literals(&translated.pattern).is_some());
    }
    println!(
        "{} expressions, {backtracking} backtrack, {with_literals} with literals",
        expressions.len()
    );
    assert!(expressions.len() > 150 && backtracking < 10, "{} {backtracking}", expressions.len());
}

proptest! {
    /// Whatever is accepted compiles or is refused by the engine, and never panics; and where it
    /// matches, one of its required strings is there.
    #[test]
    fn required_strings_stand_in_every_match(
        parts in proptest::collection::vec(
            proptest::sample::select(vec![
                "a", "b", "cd", "(a|bc)", "(?:x?y)", "[ab]", "[^c]", "d+", "e*", "(?i)", ".", "f{2}",
                "|", "\\d", "\\b", "^", "$",
            ]), 0..8),
        value in "[a-fxyABC0 ]{0,24}",
    ) {
        let source = parts.concat();
        let translated = translate(source.as_bytes()).unwrap();
        let regex = builder(&translated.pattern).build().unwrap();
        if let (Some(strings), true) = (literals(&translated.pattern), regex.is_match(value.as_bytes())) {
            let lower = value.to_ascii_lowercase();
            let stands = strings.iter().any(|one| memchr::memmem::find(lower.as_bytes(), one).is_some());
            prop_assert!(stands, "{source} matches {value} without {strings:?}");
        }
    }

    #[test]
    fn any_bytes_are_an_expression_or_none(source in proptest::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(translated) = translate(&source) {
            prop_assert!(translated.pattern.is_ascii());
        }
    }
}
