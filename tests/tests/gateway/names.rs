//! Suppliers by name, against a real name server (dnsmasq) in the gateway's namespace: addresses
//! move, the server goes away and lies, and clients notice nothing.

use std::{
    fmt::Write as _,
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use gateway_tests::{
    client::{Ask, Version},
    lab::{HONEST, Lab},
    load::{Load, Pace},
    netns::{Namespace, unique},
    origin::Origin,
    wait,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use super::House;

const SERVER: &str = "127.0.0.53";
const LIMIT: Duration = Duration::from_mins(1);

/// A name server that reads its names from a file.
struct NameServer {
    names: PathBuf,
    process: Option<Child>,
}

impl NameServer {
    fn start(namespace: &Namespace, addresses: &[&str]) -> Result<Self> {
        let names = std::path::Path::new("/tmp").join(format!("{}-names", unique()));
        let mut server = Self { names, process: None };
        server.write(addresses)?;
        server.revive(namespace)?;
        Ok(server)
    }

    fn write(&self, addresses: &[&str]) -> Result<()> {
        let mut text = String::new();
        for address in addresses {
            writeln!(text, "{address} ledger.example")?;
        }
        fs::write(&self.names, text).context("writing the names")
    }

    /// The name leads elsewhere from now on.
    fn answer(&self, addresses: &[&str]) -> Result<()> {
        self.write(addresses)?;
        let process = self.process.as_ref().context("the name server is away")?;
        kill(Pid::from_raw(i32::try_from(process.id())?), Signal::SIGHUP)?;
        Ok(())
    }

    fn revive(&mut self, namespace: &Namespace) -> Result<()> {
        let mut command = Command::new("dnsmasq");
        command
            .args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"])
            .args(["--user=root", "--pid-file=", "--bind-interfaces", "--local-ttl=1"])
            .args(["--local=/example/", "--log-facility=/dev/null", "--max-cache-ttl=1"])
            .arg(format!("--listen-address={SERVER}"))
            .arg(format!("--addn-hosts={}", self.names.display()))
            .stdin(Stdio::null());
        let process = namespace.run(|| command.spawn().context("starting dnsmasq"))?;
        self.process = Some(process);
        Ok(())
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Gone already is as good.
            process.kill().ok();
            process.wait().ok();
        }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.kill();
        fs::remove_file(&self.names).ok();
    }
}

/// The supplier of every route has a name, at the port of the lab's origin.
fn by_name(port: u16, local: bool) -> String {
    format!(
        r#"
[dns]
servers = ["{SERVER}"]
timeout = "500ms"
attempts = 1

[[identity]]
name = "customers"
api_key = {{ header = "x-api-key" }}

[[supplier]]
name = "ledger"
targets = ["http://ledger.example:{port}"]
local = {local}

[[route]]
name = "ledger"
path = "/{{*rest}}"
supplier = "ledger"
identity = "none"
"#
    )
}

fn dns(house: &House<'_>) -> Option<Value> {
    let status = house.gateway.json(&["status"]).ok()?;
    status.pointer("/proxy/detail/suppliers/0").cloned()
}

fn await_addresses(house: &House<'_>, port: u16, hosts: &[&str]) -> Result<()> {
    let mut wanted: Vec<String> = hosts.iter().map(|host| format!("{host}:{port}")).collect();
    wanted.sort_unstable();
    wait::until("the addresses", LIMIT, || {
        let supplier = dns(house)?;
        let shown = supplier.get("addresses")?.as_array()?.iter();
        let mut shown: Vec<_> = shown.filter_map(|one| one.as_str().map(str::to_owned)).collect();
        shown.sort_unstable();
        (shown == wanted).then_some(())
    })
}

fn await_outcome(house: &House<'_>, outcome: &str) -> Result<()> {
    wait::until(outcome, LIMIT, || (dns(house)?.pointer("/dns/outcome")? == outcome).then_some(()))
}

/// A case with a name server that leads to `first`, and the port of the origin.
fn with_names(
    case: &str,
    first: &[&str],
    local: bool,
    body: impl FnOnce(&House<'_>, &mut NameServer, u16) -> Result<()>,
) -> Result<()> {
    if gateway_tests::skip::without_root(&format!("gateway::{case}"))? {
        return Ok(());
    }
    let lab = Lab::build()?;
    // At every address that the name may lead to.
    let origin = Origin::start(&lab.inside, "0.0.0.0")?;
    let port = origin.http1.port();
    let mut server = NameServer::start(&lab.inside, first)?;
    let mut settings = lab.settings();
    settings.interface = None;
    settings.services = by_name(port, local);
    let mut gateway = lab.gateway(&settings)?;
    gateway.start()?;
    body(&House { lab: &lab, gateway, key: String::new() }, &mut server, port)
}

#[test]
fn a_name_that_moves_and_a_server_that_is_away_fail_no_request() -> Result<()> {
    let case = "a_name_that_moves_and_a_server_that_is_away_fail_no_request";
    with_names(case, &["127.0.0.1"], true, |house, server, port| {
        await_addresses(house, port, &["127.0.0.1"])?;
        let client = house.lab.client(HONEST, Version::Http1)?;
        let pace = Pace { connections: 4, per_second: 25, reuse: true };
        let load = Load::start(&house.lab.outside, client, Ask::get("/x"), pace);
        for hosts in [&["127.0.0.1", "10.77.0.1"][..], &["10.77.0.1"], &["127.0.0.1"]] {
            server.answer(hosts)?;
            await_addresses(house, port, hosts)?;
        }
        server.kill();
        await_outcome(house, "stale")?;
        let before = load.so_far().served;
        wait::until("requests past the time to live", LIMIT, || {
            (load.so_far().served > before + 50).then_some(())
        })?;
        server.revive(&house.lab.inside)?;
        await_outcome(house, "found")?;
        let served = load.stop()?;
        ensure!(served.failed == 0 && served.served > 50, "{served:?}");
        Ok(())
    })
}

#[test]
fn a_name_that_is_gone_or_leads_inside_is_refused() -> Result<()> {
    let case = "a_name_that_is_gone_or_leads_inside_is_refused";
    with_names(case, &["169.254.169.254", "127.0.0.1"], false, |house, server, port| {
        let down = |house: &House<'_>| {
            house.refused(Version::Http1, &Ask::get("/x"), 502, "supplier_unreachable")
        };
        await_outcome(house, "found")?;
        await_addresses(house, port, &[])?;
        down(house)?;
        server.answer(&["10.77.0.9", "127.0.0.1"])?;
        // Of two addresses only the one that may be.
        await_addresses(house, port, &["10.77.0.9"])?;
        server.answer(&[])?;
        await_outcome(house, "no such name")?;
        down(house)?;
        Ok(())
    })
}

#[test]
fn an_answer_too_long_for_a_datagram_comes_over_tcp() -> Result<()> {
    let case = "an_answer_too_long_for_a_datagram_comes_over_tcp";
    let all: Vec<String> = (1..=120).map(|last| format!("10.77.9.{last}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    with_names(case, &all, false, |house, _server, _port| {
        await_outcome(house, "found")?;
        let supplier = dns(house).context("no status")?;
        ensure!(supplier["addresses"].as_array().is_some_and(|all| all.len() == 16), "{supplier}");
        let status = house.gateway.json(&["status"])?;
        let over_tcp = status["proxy"]["detail"]["dns"]["over_tcp"].as_u64();
        ensure!(over_tcp.is_some_and(|count| count > 0), "{status}");
        Ok(())
    })
}
