//! What kind of attack a refusal was, by the tags that the Core Rule Set gives its rules: each kind
//! has its reason, and with it its weight as a strike.

use gateway_common::Reason;

use crate::proxy::inspection::seclang::Hit;

/// The heavier before the lighter: a request that is two things is the worse of them.
const CLASSES: [(&str, Reason); 12] = [
    ("attack-rce", Reason::WafCommand),
    ("attack-injection-php", Reason::WafCommand),
    ("attack-injection-java", Reason::WafCommand),
    ("attack-injection-generic", Reason::WafCommand),
    ("attack-injection-nodejs", Reason::WafCommand),
    ("attack-sqli", Reason::WafSql),
    ("attack-lfi", Reason::WafFile),
    ("attack-rfi", Reason::WafFile),
    ("attack-reputation-scanner", Reason::WafScanner),
    ("attack-xss", Reason::WafScript),
    ("attack-protocol", Reason::WafProtocol),
    ("attack-fixation", Reason::WafScript),
];

pub(super) fn of(hits: &[Hit]) -> Reason {
    let tagged = |tag: &str| hits.iter().any(|hit| hit.tags.iter().any(|known| known == tag));
    let found = CLASSES.iter().find(|(tag, _)| tagged(tag));
    found.map_or(Reason::WafRule, |(_, reason)| *reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_what_was_found_counts() {
        let hit = |tag: &str| Hit {
            rule: 1,
            message: String::new(),
            data: String::new(),
            field: String::new(),
            severity: None,
            tags: vec![tag.to_owned()],
        };
        assert_eq!(of(&[hit("attack-protocol"), hit("attack-sqli")]), Reason::WafSql);
        assert_eq!(of(&[hit("attack-generic")]), Reason::WafRule);
    }
}
