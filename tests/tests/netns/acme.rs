//! Certificates that are issued by themselves: a real authority, both challenges, and what a client
//! sees that trusts nothing else. Then what an operator fears: a restart, and an outage.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use gateway_tests::{
    authority::{Authority, Ports},
    gateway::Gateway,
    lab::{GATEWAY, Lab},
    skip,
    wait::until,
};
use serde_json::Value;

/// An order takes a few seconds, on a machine with time for it.
const ISSUED: Duration = Duration::from_mins(2);

const NAME: &str = "www.gateway.example";
const PORTS: Ports = Ports { http: 8080, tls: 8443 };

fn issues_by(challenge: &str) -> Result<()> {
    if skip::without_root(&format!("netns::{challenge}"))? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let folder = tempfile::tempdir()?;
    let start = || Authority::start(&lab.inside, GATEWAY, PORTS, &lab.certificates, folder.path());
    let mut authority = start()?;
    let mut settings = lab.settings();
    settings.interface = None;
    let acme = authority.settings(&lab.certificates, folder.path())?;
    let services = &settings.services;
    settings.services = format!(
        "{acme}challenge = \"{challenge}\"\nhttp = \"{GATEWAY}:{http}\"\n\
         [[listener]]\naddress = \"{GATEWAY}:{tls}\"\nacme = [\"{NAME}\"]\n{services}",
        http = PORTS.http,
        tls = PORTS.tls,
    );
    let mut gateway = lab.gateway(&settings)?;
    gateway.start()?;
    let server = SocketAddr::from((GATEWAY, PORTS.tls));
    let shown = || authority.shown(&lab.outside, server, NAME);
    let first =
        until("a certificate", ISSUED, || shown().ok()).with_context(|| gateway.folders.log())?;
    only_root_reads(&gateway)?;

    // What is kept is served again, and nothing is ordered for it.
    gateway.stop()?;
    gateway.start()?;
    ensure!(shown()? == first, "another certificate after a restart");
    let line = until("a plan for the name", ISSUED, || {
        line(&gateway).ok().filter(|line| line.get("next_in_seconds").is_some())
    })?;
    ensure!(line.get("state").and_then(Value::as_str) == Some("issued"), "{line}");
    ensure!(line.get("next_in_seconds").and_then(Value::as_u64) > Some(86_400), "{line}");

    // An operator's word is enough for another one.
    gateway.must(&["acme", "renew", NAME])?;
    let second = until("another certificate", ISSUED, || shown().ok().filter(|s| *s != first))
        .with_context(|| gateway.folders.log())?;
    ensure!(gateway.cli(&["acme", "renew", "elsewhere.example"])?.code == 1, "a foreign name");

    authority.stop();
    gateway.must(&["acme", "renew", NAME])?;
    until("a failure that says why", ISSUED, || {
        let line = self::line(&gateway).ok()?;
        line.get("why").and_then(Value::as_str).filter(|why| why.contains("connecting"))?;
        line.get("state").and_then(Value::as_str).filter(|state| state.contains("fails")).map(drop)
    })
    .with_context(|| gateway.folders.log())?;
    ensure!(authority.shown(&lab.outside, server, NAME)? == second, "the last good one is gone");
    Ok(())
}

/// Key and account are in files of the guard's own.
fn only_root_reads(gateway: &Gateway<'_>) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = gateway.folders.state.join("acme");
    for file in ["account.json".to_owned(), format!("{NAME}.pem")] {
        let path = folder.join(file);
        let mode = std::fs::metadata(&path).with_context(|| path.display().to_string())?;
        ensure!(mode.permissions().mode() & 0o777 == 0o600, "{} is open", path.display());
    }
    Ok(())
}

fn line(gateway: &Gateway<'_>) -> Result<Value> {
    let lines = gateway.json(&["acme", "list"])?;
    lines.get(0).cloned().with_context(|| format!("no name in {lines}"))
}

#[test]
fn a_certificate_is_issued_by_tls_alpn_01_and_outlives_restart_and_outage() -> Result<()> {
    issues_by("tls-alpn-01")
}

#[test]
fn a_certificate_is_issued_by_http_01_and_outlives_restart_and_outage() -> Result<()> {
    issues_by("http-01")
}
