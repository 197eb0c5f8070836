//! From text to directives: lines joined by a backslash at their end, comments left out, arguments
//! in quotes or not.

use super::fault::Fault;

/// One directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Directive {
    pub(super) name: String,
    pub(super) arguments: Vec<String>,
    /// Where it begins, from 1.
    pub(super) line: usize,
}

/// Reads a whole file. `file` names it in faults.
pub(super) fn directives(file: &str, text: &str) -> Result<Vec<Directive>, Fault> {
    let mut directives = Vec::new();
    let mut lines = text.lines().zip(1..);
    while let Some((first, line)) = lines.next() {
        let mut joined = String::new();
        let mut part = first;
        // A comment ends with its line, whatever that ends with; inside a directive a line that
        // begins with # is one of its own.
        if part.trim_start().starts_with('#') {
            continue;
        }
        while let Some(before) = part.trim_end().strip_suffix('\\') {
            joined.push_str(before);
            let Some((next, _)) = lines.next() else {
                let what = "ends with a backslash, which joins it to a line that is not there";
                return Err(Fault { file: file.to_owned(), line, what: what.to_owned() });
            };
            part = next.trim_start();
        }
        joined.push_str(part);
        let mut arguments = words(&joined).map_err(|what| Fault {
            file: file.to_owned(),
            line,
            what: what.to_owned(),
        })?;
        if arguments.is_empty() {
            continue;
        }
        let name = arguments.remove(0);
        directives.push(Directive { name, arguments, line });
    }
    Ok(directives)
}

/// Words of a line; in double quotes, in which \" is a quote, or without spaces.
fn words(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        if rest.starts_with('#') {
            break;
        }
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => until_quote(quoted)?,
            None => rest.find(char::is_whitespace).map_or((rest.to_owned(), ""), |at| {
                let (word, after) = rest.split_at(at);
                (word.to_owned(), after)
            }),
        };
        words.push(word);
        rest = after.trim_start();
    }
    Ok(words)
}

fn until_quote(text: &str) -> Result<(String, &str), &'static str> {
    let mut word = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((word, text.get(at + 1..).unwrap_or_default())),
            '\\' if text.get(at + 1..).is_some_and(|rest| rest.starts_with('"')) => {
                chars.next();
                word.push('"');
            }
            // Any other escape is for who reads the word: a regular expression, an action.
            _ => word.push(c),
        }
    }
    Err("has a quote that is not closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_lines_and_keeps_escapes() {
        let text = "# SecRule no\\\nSecRule ARGS \"@rx \\\"\\d\" \\\n    \"id:1,\\\n    pass\"\n\nSecMarker END # end\n";
        let found = directives("f", text).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].name, "SecRule");
        assert_eq!(found[0].line, 2);
        assert_eq!(found[0].arguments, ["ARGS", "@rx \"\\d", "id:1,pass"]);
        assert_eq!(found[1].arguments, ["END"]);
    }

    #[test]
    fn tells_the_line_of_what_is_not_closed() {
        assert_eq!(directives("f", "\nSecMarker \"END").unwrap_err().line, 2);
        assert_eq!(directives("f", "SecMarker A\\").unwrap_err().line, 1);
    }
}
