//! The paths a Rust source names, with `use` trees unfolded: enough of the grammar to know who
//! depends on whom, without a parser crate.

/// A path such as `crate::guard::Options`, and its line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) line: usize,
    pub(super) path: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    /// `::`
    Colons,
    Other(char),
}

/// Every path of two or more segments outside comments, strings and the tests at the end.
pub(super) fn named(text: &str) -> Vec<Named> {
    let tokens = tokens(without_tests(text));
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let starts = at == 0 || !is_colons(&tokens, at - 1);
        if starts && is_word(&tokens, at) && is_colons(&tokens, at + 1) {
            at = tree(&tokens, at, &mut Vec::new(), &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// Unit tests may reach where the code beside them may not.
fn without_tests(text: &str) -> &str {
    let end = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
    text.get(..end).unwrap_or(text)
}

/// Reads one path or use tree from `at`; returns where it ends.
fn tree(
    tokens: &[(usize, Token)],
    mut at: usize,
    prefix: &mut Vec<String>,
    found: &mut Vec<Named>,
) -> usize {
    let depth = prefix.len();
    let line = tokens.get(at).map_or(0, |(line, _)| *line);
    while let Some((_, Token::Word(word))) = tokens.get(at) {
        prefix.push(word.clone());
        at += 1;
        if !is_colons(tokens, at) {
            break;
        }
        at += 1;
    }
    if is_other(tokens, at, '{') && is_colons(tokens, at.wrapping_sub(1)) {
        at = group(tokens, at + 1, prefix, found);
    } else if prefix.len() > 1 {
        found.push(Named { line, path: prefix.clone() });
    }
    prefix.truncate(depth);
    // `as name` renames what was just read.
    let renamed = matches!(tokens.get(at), Some((_, Token::Word(word))) if word == "as");
    if renamed { at + 2 } else { at }
}

/// The branches between braces.
fn group(
    tokens: &[(usize, Token)],
    mut at: usize,
    prefix: &mut Vec<String>,
    found: &mut Vec<Named>,
) -> usize {
    while at < tokens.len() && !is_other(tokens, at, '}') {
        at = if is_word(tokens, at) { tree(tokens, at, prefix, found) } else { at + 1 };
    }
    at + 1
}

fn is_word(tokens: &[(usize, Token)], at: usize) -> bool {
    matches!(tokens.get(at), Some((_, Token::Word(_))))
}

fn is_colons(tokens: &[(usize, Token)], at: usize) -> bool {
    matches!(tokens.get(at), Some((_, Token::Colons)))
}

fn is_other(tokens: &[(usize, Token)], at: usize, wanted: char) -> bool {
    matches!(tokens.get(at), Some((_, Token::Other(found))) if *found == wanted)
}

fn tokens(text: &str) -> Vec<(usize, Token)> {
    let mut tokens = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let code = without_strings(line);
        let code = code.split("//").next().unwrap_or_default();
        words(number + 1, code, &mut tokens);
    }
    tokens
}

fn words(line: usize, code: &str, tokens: &mut Vec<(usize, Token)>) {
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
        let length = rest.find(|letter| !is_name(letter)).unwrap_or(rest.len());
        let (token, length) = if length > 0 {
            (Some(Token::Word(rest.get(..length).unwrap_or_default().to_owned())), length)
        } else if rest.starts_with("::") {
            (Some(Token::Colons), 2)
        } else {
            ((!first.is_whitespace()).then_some(Token::Other(first)), first.len_utf8())
        };
        tokens.extend(token.map(|token| (line, token)));
        rest = rest.get(length..).unwrap_or_default();
    }
}

/// The line with what stands in double quotes cut out. A string over several lines stays: the
/// words in it rarely look like paths, and a false alarm is seen at once.
fn without_strings(line: &str) -> String {
    let mut kept = String::new();
    let (mut quoted, mut escaped) = (false, false);
    for letter in line.chars() {
        if quoted {
            quoted = escaped || letter != '"';
            escaped = !escaped && letter == '\\';
        } else if letter == '"' && !kept.ends_with('\'') {
            quoted = true;
        } else {
            kept.push(letter);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        named(text).into_iter().map(|named| named.path.join("::")).collect()
    }

    #[test]
    fn unfolds_use_trees_over_lines() {
        let text = "use crate::{\n    guard::{Options, run as go},\n    clock::*,\n};\n";
        let wanted = ["crate::guard::Options", "crate::guard::run", "crate::clock"];
        assert_eq!(paths(text), wanted);
    }

    #[test]
    fn sees_inline_paths_but_not_comments_strings_or_tests() {
        let text = "// crate::a::b\nlet x = super::net::accept(\"aya::Ebpf\");\n\
                    #[cfg(test)]\nmod tests { use crate::guard::x; }\n";
        assert_eq!(paths(text), ["super::net::accept"]);
    }
}
