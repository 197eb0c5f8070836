//! `gateway block export`.

use std::fmt::Write as _;

use crate::{
    cli::{
        Context,
        output::{escape, print_bytes, span},
    },
    config::prefix,
    control::Ban,
};

pub(super) fn run(context: &Context) -> anyhow::Result<()> {
    let bans = super::list::fetch(context)?;
    print_bytes(text(&bans)?.as_bytes())
}

/// A list that `import` reads: what is known beyond the address is a comment.
fn text(bans: &[Ban]) -> anyhow::Result<String> {
    let mut text = format!("# {} bans of gateway\n", bans.len());
    for ban in bans {
        let net = prefix::write(ban.net);
        let left = ban.left.map_or("for ever".to_owned(), span);
        let (source, reason) = (escape(&ban.source), escape(&ban.reason));
        let gap = if ban.note.is_empty() { "" } else { ", " };
        writeln!(text, "{net} # {source}, {reason}, {left}{gap}{}", escape(&ban.note))?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::block::list_parser::List;

    #[test]
    fn what_is_exported_can_be_imported() {
        let ban = |net: &str, note: &str| Ban {
            net: net.parse().unwrap(),
            reason: "credential_unknown".to_owned(),
            source: "strike".to_owned(),
            since: 1,
            left: Some(90),
            hits: 0,
            last_seen: None,
            list: String::new(),
            note: note.to_owned(),
        };
        let nets = ["192.0.2.1/32", "198.51.100.0/24", "2001:db8::/48", "2001:db8::1/128"];
        let bans: Vec<Ban> = nets.iter().map(|net| ban(net, "a\n203.0.113.1\r # b")).collect();
        let text = text(&bans).unwrap();
        let mut list = List::new(text.as_bytes());
        let read = list.portion(100).unwrap().unwrap();
        assert_eq!(read.iter().map(ToString::to_string).collect::<Vec<_>>(), nets);
        assert!(list.bad.is_empty());
        assert!(
            text.starts_with(
                "# 4 bans of gateway\n192.0.2.1 # strike, credential_unknown, 1m 30s, a"
            )
        );
    }
}
