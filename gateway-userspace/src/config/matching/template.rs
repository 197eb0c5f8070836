//! A path made from another's parameters: whole segments of a normalized path, so that no value
//! can climb out of its segment, start a host or end the path.

/// A path with parameters to fill in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// By name, without braces and star.
    Parameter(String),
}

impl Template {
    /// Reads a template that the configuration has checked: each parameter a segment of its own.
    pub fn new(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut literal = String::new();
        for (index, segment) in text.split('/').enumerate() {
            if index > 0 {
                literal.push('/');
            }
            let Some(name) = parameter(segment) else {
                literal.push_str(segment);
                continue;
            };
            parts.push(Part::Literal(std::mem::take(&mut literal)));
            parts.push(Part::Parameter(name.trim_start_matches('*').to_owned()));
        }
        parts.push(Part::Literal(literal));
        Self { text: text.to_owned(), parts }
    }

    /// As written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The path with what the parameters took; one that took nothing leaves nothing.
    pub fn fill<'p>(&self, value: impl Fn(&str) -> Option<&'p str>) -> String {
        let parts = self.parts.iter().map(|part| match part {
            Part::Literal(text) => text.as_str(),
            Part::Parameter(name) => value(name).unwrap_or_default(),
        });
        parts.collect()
    }
}

/// `{name}` or `{*name}` without its braces.
fn parameter(segment: &str) -> Option<&str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(template: &str, values: &[(&str, &str)]) -> String {
        let value = |name: &str| values.iter().find(|(key, _)| *key == name).map(|(_, v)| *v);
        Template::new(template).fill(value)
    }

    #[test]
    fn fills_each_parameter_where_it_stands() {
        assert_eq!(fill("/", &[]), "/");
        assert_eq!(fill("/internal/{id}", &[("id", "42")]), "/internal/42");
        assert_eq!(fill("/{b}/x/{a}/", &[("a", "1"), ("b", "2")]), "/2/x/1/");
        assert_eq!(fill("/v2/{*rest}", &[("rest", "a/b")]), "/v2/a/b");
        assert_eq!(fill("/{*rest}", &[]), "/");
    }
}
