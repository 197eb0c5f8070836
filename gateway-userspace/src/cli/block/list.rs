//! `gateway block list`.

use crate::{
    cli::{
        Context, client,
        output::{Output, span, table},
    },
    clock::{self, Wall},
    config::prefix,
    control::{Ban, Request, Response},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    output: Output,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let bans = fetch(context)?;
        self.output.print(bans.as_slice(), |bans| show(bans, clock::wall()))
    }
}

/// All bans of the running gateway, asked for in portions.
pub(super) fn fetch(context: &Context) -> anyhow::Result<Vec<Ban>> {
    client::pages(
        &context.socket,
        |after| Request::BlockList { after },
        |answer| {
            let Response::Bans { bans, more } = answer else { return None };
            Some((bans, more))
        },
        |ban| ban.net,
    )
}

/// The table of bans.
pub(crate) fn show(bans: &[Ban], now: Wall) -> String {
    let rows = bans.iter().map(|ban| {
        [
            prefix::write(ban.net),
            by(ban),
            ban.reason.clone(),
            span(now.since(Wall(ban.since)).as_secs()),
            ban.left.map_or("for ever".to_owned(), span),
            ban.hits.to_string(),
            ban.last_seen.map_or("never".to_owned(), span),
            ban.note.clone(),
        ]
    });
    table(["NET", "SOURCE", "REASON", "AGE", "LEFT", "PACKETS", "LAST SEEN", "NOTE"], rows)
}

/// Who asked for it, and by which list.
fn by(ban: &Ban) -> String {
    if ban.list.is_empty() { ban.source.clone() } else { format!("{} {}", ban.source, ban.list) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::tests::guard;

    fn page(net: &str, more: bool) -> String {
        let ban = Ban {
            net: net.parse().unwrap(),
            reason: "operator".to_owned(),
            source: "cli".to_owned(),
            since: 1,
            left: None,
            hits: 0,
            last_seen: None,
            list: String::new(),
            note: String::new(),
        };
        serde_json::to_string(&Response::Bans { bans: vec![ban], more }).unwrap() + "\n"
    }

    #[test]
    fn asks_on_behind_the_last_until_there_is_no_more() {
        let pages = [page("192.0.2.1/32", true), page("2001:db8::/32", false)];
        let (_folder, socket, serving) = guard(&pages.each_ref().map(String::as_str));
        let bans = fetch(&Context { socket }).unwrap();
        assert_eq!(bans.len(), 2);
        assert!(serving.join().unwrap()[1].contains("192.0.2.1/32"));
    }

    #[test]
    fn does_not_ask_in_circles() {
        let same = page("192.0.2.1/32", true);
        let (_folder, socket, _serving) = guard(&[&same, &same]);
        assert!(fetch(&Context { socket }).is_err());
    }
}
