//! The Core Rule Set as Debian ships it, unchanged, in front of a real origin.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use gateway_tests::client::Ask;
use serde_json::Value;

use super::{BOTH, CURL_VERSIONS, with_gateway};

/// The whole rule set; one route blocks, one only tells.
const SETTINGS: &str = r#"
[waf]
rules = ["/etc/modsecurity/crs/*.conf", "/usr/share/modsecurity-crs/rules/*.conf"]

[[route]]
name = "guarded"
path = "/guarded/{*rest}"
supplier = "plain"
identity = "none"

[[route]]
name = "watched"
path = "/watched/{*rest}"
supplier = "plain"
identity = "none"
waf = "detect"

[[route]]
name = "eased"
path = "/eased/{*rest}"
supplier = "plain"
identity = "none"
waf = { without = ["tag:attack-sqli;ARGS:note"] }
"#;

#[test]
fn attacks_are_blocked_and_plain_requests_pass() -> Result<()> {
    let case = "attacks_are_blocked_and_plain_requests_pass";
    with_gateway(
        case,
        |settings| settings.services += SETTINGS,
        |house| {
            let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
            let get = |path: &str| {
                Ask::get(path).with("user-agent", agent).with("accept", "application/json")
            };
            for version in BOTH {
                let plain = house.ask(version, &get("/guarded/payments?limit=20&state=open"))?;
                ensure!(plain.status == 200, "{version:?}: {}", plain.status);
                for (query, reason) in [
                    ("id=1%27%20UNION%20SELECT%20a%20FROM%20b--", "waf_sql"),
                    ("q=%3Cscript%3Ealert(1)%3C/script%3E", "waf_script"),
                    ("file=../../../../secret", "waf_file"),
                    ("host=;cat%20/etc/passwd", "waf_command"),
                ] {
                    house.refused(version, &get(&format!("/guarded/a?{query}")), 403, reason)?;
                    let watched = house.ask(version, &get(&format!("/watched/a?{query}")))?;
                    ensure!(watched.status == 200, "{version:?} {query}: {}", watched.status);
                }
                let note = "note=1%27%20UNION%20SELECT%20a%20FROM%20b--";
                let eased = house.ask(version, &get(&format!("/eased/a?{note}")))?;
                ensure!(eased.status == 200, "{version:?}: an exclusion: {}", eased.status);
            }
            bodies_are_read_and_passed_on(house, agent)?;
            let log = fs::read_to_string(&house.gateway.folders.access_log)?;
            ensure!(!log.contains("UNION"), "a query value is in the access log");
            let mut lines = log.lines().filter(|line| line.contains("\"watched\""));
            let line = lines.find_map(|line| serde_json::from_str::<Value>(line).ok());
            let line = line.context("no line of the route")?;
            let rules = line["rules"].as_array().context("no rules in the line")?;
            ensure!(rules.iter().any(|rule| rule["id"] == 942_100), "{line}");
            Ok(())
        },
    )
}

fn bodies_are_read_and_passed_on(house: &super::House<'_>, agent: &str) -> Result<()> {
    for version in CURL_VERSIONS {
        let send = |body: &str, kind: &str| {
            let kind = format!("content-type: {kind}");
            let agent = format!("user-agent: {agent}");
            let more = ["--data-binary", body, "--header", &kind, "--header", &agent];
            house.curl("/guarded/form", &[&[version][..], &more].concat())
        };
        let said = send("name=Zo%C3%AB&text=Please+call", "application/x-www-form-urlencoded")?;
        let (_, echo) = said.rsplit_once("\r\n\r\n").context("no head")?;
        let echo: Value = serde_json::from_str(echo).with_context(|| format!("reading {said}"))?;
        let bytes = echo.get("body_bytes").and_then(Value::as_u64);
        ensure!(bytes == Some(30), "the supplier gets what was looked at: {echo}");
        for (body, kind) in [
            ("user=admin%27+OR+%271%27%3D%271", "application/x-www-form-urlencoded"),
            ("{\"user\":{\"name\":\"admin' OR '1'='1\"}}", "application/json"),
        ] {
            let said = send(body, kind)?;
            ensure!(said.contains(" 403"), "{version} {body}: {said}");
        }
        let path = house.gateway.folders.root.join("long");
        fs::write(&path, format!("a={}", "x".repeat(200 << 10)))?;
        let long = format!("@{}", path.display());
        let before = house.refusals("waf_uninspected")?;
        let said = send(&long, "application/x-www-form-urlencoded")?;
        ensure!(said.contains(" 413"), "{version}: {said}");
        ensure!(house.refusals("waf_uninspected")? == before + 1, "{version}: not counted");
    }
    Ok(())
}
