//! What each operator says of values.

use super::*;

fn no_file(_path: &str) -> io::Result<Vec<u8>> {
    Err(io::Error::from(io::ErrorKind::NotFound))
}

fn operator(name: &str, argument: &str) -> Operator {
    Operator::compile(name, argument, &no_file).unwrap()
}

/// Asserts operator, argument, value and whether it matches.
fn holds(rows: &[(&str, &str, &[u8], bool)]) {
    for (name, argument, value, expected) in rows {
        let outcome = operator(name, argument).matches(value, None, None);
        let shown = value.escape_ascii();
        assert_eq!(outcome, Outcome::from(*expected), "@{name} {argument} of {shown}");
    }
}

fn captured(operator: &Operator, value: &[u8]) -> Vec<(usize, String)> {
    let mut captures = Captures::default();
    assert_eq!(operator.matches(value, None, Some(&mut captures)), Outcome::Match);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    captures.groups.into_iter().map(|(group, bytes)| (group, text(bytes))).collect()
}

#[test]
fn texts_are_compared_byte_by_byte() {
    holds(&[
        ("streq", "abc", b"abc", true),
        ("streq", "abc", b"ABC", false),
        ("contains", "b", b"abc", true),
        ("strmatch", "WebZIP", b"x WebZIP y", true),
        ("containsWord", "select", b"1 select 2", true),
        ("containsWord", "select", b"selected select1", true),
        ("containsWord", "select", b"selected", false),
        ("containsWord", "aa", b"baaa aa", true),
        ("beginsWith", "GET", b"GET /", true),
        ("endsWith", ".php", b"/a.php", true),
        ("endsWith", ".php", b"/a.php5", false),
        ("within", "GET POST HEAD", b"POST", true),
        ("within", "GET POST HEAD", b"PUT", false),
    ]);
}

#[test]
fn numbers_are_read_as_c_reads_them() {
    holds(&[
        ("eq", "0", b"abc", true),
        ("eq", "7", b" 7x", true),
        ("ne", "7", b"8", true),
        ("gt", "-1", b"0", true),
        ("ge", "5", b"5", true),
        ("lt", "5", b"99999999999999999999", false),
        ("le", "5", b"-99999999999999999999", true),
    ]);
}

#[test]
fn codings_are_validated() {
    holds(&[
        ("validateByteRange", "32-126,10", b"ab\n", false),
        ("validateByteRange", "32-126,10", b"ab\r", true),
        ("validateByteRange", "1-255", b"a\0", true),
        ("validateUrlEncoding", "", b"a%20b", false),
        ("validateUrlEncoding", "", b"a%2", true),
        ("validateUrlEncoding", "", b"100%zz", true),
        ("validateUtf8Encoding", "", "é".as_bytes(), false),
        ("validateUtf8Encoding", "", b"\xc0\xaf", true),
        ("validateUtf8Encoding", "", b"\xed\xa0\x80", true),
    ]);
}

#[test]
fn addresses_are_within_networks() {
    holds(&[
        ("ipMatch", "192.0.2.0/24, 2001:db8::/32", b"192.0.2.9", true),
        ("ipMatch", "192.0.2.0/24,2001:db8::/32", b"2001:db8::1", true),
        ("ipMatch", "192.0.2.1", b"192.0.2.2", false),
        ("ipMatch", "192.0.2.1", b"no address", false),
    ]);
    let list = |_: &str| Ok(b"# ours\n192.0.2.0/24 # lab\n\n2001:db8::1\n".to_vec());
    let file = Operator::compile("ipMatchFromFile", "ours.data", &list).unwrap();
    assert_eq!(file.matches(b"192.0.2.77", None, None), Outcome::Match);
    assert_eq!(file.matches(b"198.51.100.1", None, None), Outcome::NoMatch);
}

#[test]
fn phrases_are_found_in_any_case() {
    holds(&[
        ("pm", "/etc/passwd .htaccess", b"a/ETC/passwd", true),
        ("pm", "a|42 43|d", b"xABCD", true),
        ("pm", "a|b c", b"a|b", true),
        ("pm", "foo bar", b"fo ba", false),
    ]);
    let list = |_: &str| Ok(b"# comment\n\nwget --\r\ncurl\n".to_vec());
    let file = Operator::compile("pmFromFile", "tools.data", &list).unwrap();
    assert_eq!(captured(&file, b"CURL x"), [(0, "curl".to_owned())]);
    assert_eq!(file.matches(b"wget -", None, None), Outcome::NoMatch);
    assert_eq!(file.matches(b"# comment", None, None), Outcome::NoMatch);
    assert_eq!(file.literals().unwrap(), [b"wget --".to_vec(), b"curl".to_vec()]);
}

#[test]
fn expressions_capture_the_groups_that_took_part() {
    let rx = operator("rx", r"(a)|(b)(c)");
    let expected = [(0, "bc"), (2, "b"), (3, "c")].map(|(group, text)| (group, text.to_owned()));
    assert_eq!(captured(&rx, b"xbc"), expected);
    let global = operator("rxGlobal", r"\d+");
    assert_eq!(captured(&global, b"1 22"), [(0, "1".to_owned()), (0, "22".to_owned())]);
    holds(&[("rx", "", b"", true), ("rx", "^$", b"", true), ("rx", "(?i)ABC", b"xabc", true)]);
}

#[test]
fn backtracking_ends_undecided_and_is_announced() {
    let quiet = operator("rx", r"^(?!GET)\w+");
    assert_eq!(quiet.matches(b"POST", None, None), Outcome::Match);
    assert_eq!(quiet.matches(b"GET", None, None), Outcome::NoMatch);
    assert_eq!(quiet.caution(), Some(Caution::Backtracks("look-ahead")));
    let bomb = operator("rx", r"^(?:(?=a)(?:a|aa|a+))+b");
    let value = [vec![b'a'; 64], b"!".to_vec()].concat();
    assert_eq!(bomb.matches(&value, None, None), Outcome::Undecided(Undecided::Steps));
}

#[test]
fn macros_are_expanded_before() {
    let rx = operator("rx", "^%{tx.allowed}$");
    assert!(rx.has_macro());
    assert_eq!(rx.matches(b"ab", Some(b"^ab?$"), None), Outcome::Match);
    assert_eq!(rx.matches(b"ac", Some(b"^ab?$"), None), Outcome::NoMatch);
    let broken = rx.matches(b"ab", Some(b"^(ab"), None);
    assert_eq!(broken, Outcome::Undecided(Undecided::Expression));
    let within = operator("within", "%{tx.methods}");
    assert_eq!(within.matches(b"PUT", Some(b"GET PUT"), None), Outcome::Match);
    assert_eq!(within.literals(), None);
}

#[test]
fn injections_are_detected_and_plain_text_is_not() {
    let sqli = operator("detectSQLi", "");
    assert_eq!(captured(&sqli, b"1' or '1'='1")[0].1, "s&sos");
    let xss = operator("detectXSS", "");
    assert_eq!(xss.matches(b"<script>alert(1)</script>", None, None), Outcome::Match);
    for plain in ["", "O'Brien & sons", "Grüße aus Köln, 3 < 5", "select a colour"] {
        assert_eq!(sqli.matches(plain.as_bytes(), None, None), Outcome::NoMatch, "{plain}");
        assert_eq!(xss.matches(plain.as_bytes(), None, None), Outcome::NoMatch, "{plain}");
    }
}

#[test]
fn a_card_number_is_one_by_its_check_digit() {
    let argument = r"\d{16}";
    holds(&[
        ("verifyCC", argument, b"pan 4111111111111111 x", true),
        ("verifyCC", argument, b"pan 4111111111111112 x", false),
    ]);
}

#[test]
fn what_cannot_be_done_is_refused_or_announced_at_load() {
    let refused = |name: &str| Operator::compile(name, "x", &no_file).unwrap_err().to_string();
    assert!(refused("inspectFile").contains("programs"));
    assert!(refused("detectAll").contains("unknown operator"));
    assert!(refused("pmFromFile").contains("reading x"));
    assert!(refused("ipMatch").contains("no address"));
    assert!(refused("validateByteRange").contains("range"));
    let url = Operator::compile("pmFromFile", "https://lists.example/x", &no_file);
    assert!(matches!(url, Err(OperatorError::Unsupported(..))));
    assert_eq!(operator("geoLookup", "").caution(), Some(Caution::NeverMatches));
    assert_eq!(operator("rbl", "x.example").matches(b"1", None, None), Outcome::NoMatch);
    holds(&[("unconditionalMatch", "", b"", true), ("noMatch", "", b"x", false)]);
}

#[test]
fn literals_are_what_a_match_contains() {
    assert_eq!(operator("contains", "ABC").literals(), Some(vec![b"abc".to_vec()]));
    assert_eq!(operator("within", "ABC").literals(), None);
    assert_eq!(operator("rx", r"(?i)exec\s*\(").literals(), Some(vec![b"exec".to_vec()]));
    assert_eq!(operator("rx", r"(?!a)exec").linear_pattern(), None);
    assert!(operator("rx", r"exec").linear_pattern().is_some());
}
