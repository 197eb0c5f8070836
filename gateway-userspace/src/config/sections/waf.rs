//! `[waf]` and a route's `waf`.

use std::time::Duration;

use crate::config::{
    defaults,
    fault::quoted,
    model::{Excluded, Exclusion, RouteWaf, Waf, WafMode},
    tree::{Entry, Section},
};

const FILES: usize = 64;
const EXCLUSIONS: usize = 256;

const MODES: [(&str, WafMode); 3] =
    [("off", WafMode::Off), ("detect", WafMode::Detect), ("block", WafMode::Block)];

pub(super) fn read(root: &mut Section<'_>) -> Option<Waf> {
    let mut section = root.get("waf")?.section()?;
    let default = defaults::waf();
    let rules = section.need("rules", "[\"/usr/share/modsecurity-crs/rules/*.conf\"]");
    let rules = rules.map(|entry| entry.list(FILES)).unwrap_or_default();
    let rules = rules.iter().filter_map(path).collect();
    let times = Duration::from_millis(1)..=Duration::from_secs(10);
    let time = section.get("time").and_then(|entry| entry.time(times)).unwrap_or(default.time);
    let over = [("refuse", false), ("pass", true)];
    let waf = Waf {
        rules,
        body_bytes: section.size("body", default.body_bytes, 0..=16 << 20),
        pass_uninspected: section.choice("over", default.pass_uninspected, &over),
        work: section.size("work", default.work, 1 << 16..=1 << 30),
        time,
        answers: section.flag("answers", default.answers),
        selftest: section.flag("selftest", default.selftest),
        route: own(&mut section, &default.route),
    };
    section.finish();
    Some(waf)
}

/// A path from /, with a star in its file name at most.
fn path(entry: &Entry<'_>) -> Option<String> {
    let path = entry.path()?;
    let text = path.to_str()?.to_owned();
    let folder = text.rsplit_once('/').map_or("", |(folder, _)| folder);
    if folder.contains('*') {
        entry.refuse("has a * in a folder's name", "write it in the last part alone");
        return None;
    }
    Some(text)
}

/// A route's: a mode, or a table. Without one it is as `[waf]` says; without that, off.
pub(super) fn route(section: &mut Section<'_>, known: Option<&RouteWaf>) -> RouteWaf {
    let off = RouteWaf { mode: WafMode::Off, ..defaults::waf().route };
    let default = known.unwrap_or(&off);
    let Some(entry) = section.get("waf") else { return default.clone() };
    let own = if let Some(mut table) = entry.table() {
        let own = own(&mut table, default);
        table.finish();
        own
    } else {
        RouteWaf { mode: entry.choice(&MODES).unwrap_or(default.mode), ..default.clone() }
    };
    if known.is_none() && own.mode != WafMode::Off {
        entry.refuse("needs the rules of [waf]", "add [waf] with rules, or write \"off\"");
    }
    own
}

fn own(section: &mut Section<'_>, default: &RouteWaf) -> RouteWaf {
    let without = section.get("without").map(|entry| entry.list(EXCLUSIONS));
    let more: Vec<Exclusion> =
        without.iter().flatten().filter_map(|entry| exclusion(entry)).collect();
    RouteWaf {
        mode: section.choice("mode", default.mode, &MODES),
        paranoia: section.whole("paranoia", default.paranoia, 1..=4),
        inbound: section.whole("inbound", default.inbound, 1..=100_000),
        outbound: section.whole("outbound", default.outbound, 1..=100_000),
        without: default.without.iter().cloned().chain(more).collect(),
    }
}

/// `942100`, `942100-942190`, `tag:attack-sqli`; each may go on with `;ARGS:note`.
fn exclusion(entry: &Entry<'_>) -> Option<Exclusion> {
    let text = entry.text()?;
    let (rules, target) = match text.split_once(';') {
        Some((rules, target)) => (rules.trim(), Some(target.trim().to_owned())),
        None => (text.trim(), None),
    };
    let id = |text: &str| text.trim().parse::<u64>().ok();
    let rules = if let Some(tag) = rules.strip_prefix("tag:") {
        Some(Excluded::Tag(tag.to_owned()))
    } else {
        let (from, to) = rules.split_once('-').unwrap_or((rules, rules));
        id(from).zip(id(to)).map(|(from, to)| Excluded::Ids(from, to))
    };
    if rules.is_none() || target.as_deref() == Some("") {
        let what = format!("{} names no rule", quoted(text));
        entry.refuse(
            what,
            "write one such as \"942100\", \"tag:attack-sqli\" or \"942100;ARGS:note\"",
        );
        return None;
    }
    Some(Exclusion { rules: rules?, target })
}

#[cfg(test)]
mod tests {
    use crate::config::{defaults, load};

    #[test]
    fn a_mistyped_mode_is_told_with_those_there_are() {
        let route = "[[route]]\npath = \"/a\"\nsupplier = \"echo\"\nidentity = \"none\"\n";
        let text = format!("{}\n{route}waf = \"blok\"\n", defaults::EMBEDDED);
        let faults = load(&text, "t.toml").unwrap_err().to_string();
        assert!(faults.contains("\"blok\" is not known here"), "{faults}");
        assert!(faults.contains("\"detect\""), "{faults}");
    }
}
