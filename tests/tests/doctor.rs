//! `gateway doctor` against interfaces that are what it says: what it calls an obstacle is one, and
//! what it advises removes it.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, ensure};
use gateway_tests::{
    foreign,
    gateway::{Gateway, Outcome, binary, outcome},
    lab::{INTERFACE, Lab, PEER},
    netns::{Namespace, command, remove, unique},
    skip,
};
use gateway_userspace::control::InterfaceStatus;
use serde_json::Value;

/// What it found, and its exit code.
struct Report {
    findings: Vec<Value>,
    said: Outcome,
}

impl Report {
    fn read(said: Outcome) -> Result<Self> {
        let report: Value =
            serde_json::from_str(&said.stdout).with_context(|| format!("reading {said:?}"))?;
        let findings = report.get("findings").and_then(Value::as_array).cloned();
        Ok(Self { findings: findings.context("no findings")?, said })
    }

    /// The finding about one thing in one place.
    fn about(&self, place: &str, about: &str) -> Result<Finding> {
        let text = |one: &Value, key: &str| {
            one.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let found = self
            .findings
            .iter()
            .find(|one| text(one, "place") == place && text(one, "about") == about);
        let found =
            found.with_context(|| format!("nothing on {about} of {place}: {:?}", self.said))?;
        Ok(Finding {
            level: text(found, "level"),
            what: text(found, "what"),
            change: text(found, "change"),
        })
    }
}

#[derive(Debug)]
struct Finding {
    level: String,
    what: String,
    change: String,
}

impl Finding {
    fn must_be(&self, level: &str) -> Result<()> {
        ensure!(self.level == level, "not {level}: {self:?}");
        Ok(())
    }
}

/// Examines one interface of a namespace by the configuration there.
fn examine(namespace: &Namespace, arguments: &[&str]) -> Result<Report> {
    let mut command = Command::new(binary()?);
    command.args(["doctor", "--output", "json"]).args(arguments);
    Report::read(namespace.run(|| outcome(command))?)
}

fn examine_configured(lab: &Lab, gateway: &Gateway<'_>) -> Result<Report> {
    examine(&lab.inside, &["--config", &gateway.folders.configuration().to_string_lossy()])
}

#[test]
fn a_guarded_interface_has_nothing_to_change_and_nothing_is_left_behind() -> Result<()> {
    let case = "a_guarded_interface_has_nothing_to_change_and_nothing_is_left_behind";
    if skip::without_root(&format!("doctor::{case}"))? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let mut gateway = lab.gateway(&lab.settings())?;
    examine_configured(&lab, &gateway)?.about(INTERFACE, "xdp slot")?.must_be("ok")?;
    gateway.start()?;
    let (pins, links) = (listing(&gateway)?, attached(&gateway)?);
    let report = examine_configured(&lab, &gateway)?;
    ensure!(report.said.code == 0, "{:?}", report.said);
    for about in ["xdp slot", "native xdp", "mtu", "interface"] {
        report.about(INTERFACE, about)?.must_be("ok")?;
    }
    let slot = report.about(INTERFACE, "xdp slot")?;
    ensure!(slot.what.contains("native"), "{slot:?}");
    // In a namespace that has no such setting.
    report.about("machine", "jit")?.must_be("ok")?;
    report.about("kernel", "filter")?.must_be("ok")?;
    report.about("kernel", "features")?.must_be("ok")?;
    ensure!(listing(&gateway)? == pins, "it pins nothing");
    ensure!(attached(&gateway)? == links, "it attaches nothing");
    Ok(())
}

/// What is attached where. Packets come in meanwhile: what they counted is another matter.
fn attached(gateway: &Gateway<'_>) -> Result<Vec<InterfaceStatus>> {
    let interfaces = gateway.status()?.kernel.interfaces.into_iter();
    let uncounted = |status| InterfaceStatus { counters: Vec::new(), ..status };
    Ok(interfaces.map(uncounted).collect())
}

/// Every pin of a gateway and every entry beside its folder.
fn listing(gateway: &Gateway<'_>) -> Result<Vec<String>> {
    let below = command("find", &[&gateway.folders.pins.to_string_lossy()])?;
    Ok(below.lines().map(str::to_owned).collect())
}

#[test]
fn frames_too_large_are_named_before_they_keep_the_filter_out() -> Result<()> {
    let case = "frames_too_large_are_named_before_they_keep_the_filter_out";
    if skip::without_root(&format!("doctor::{case}"))? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let mut gateway = lab.gateway(&lab.settings())?;
    let resize = |mtu: &str| -> Result<()> {
        lab.inside.ip(&["link", "set", INTERFACE, "mtu", mtu])?;
        lab.outside.ip(&["link", "set", PEER, "mtu", mtu]).map(drop)
    };
    resize("9000")?;
    let report = examine_configured(&lab, &gateway)?;
    ensure!(report.said.code == 1, "native is configured: {:?}", report.said);
    let found = report.about(INTERFACE, "mtu")?;
    found.must_be("fail")?;
    gateway.spawn()?;
    ensure!(!gateway.wait_for_end()?.success(), "it is as the doctor said");

    let advised = found.change.rsplit(' ').next().context("no advice")?.to_owned();
    resize(&advised)?;
    ensure!(examine_configured(&lab, &gateway)?.said.code == 0);
    gateway.start()
}

#[test]
fn a_foreign_program_is_named_with_the_command_that_removes_it() -> Result<()> {
    let case = "a_foreign_program_is_named_with_the_command_that_removes_it";
    if skip::without_root(&format!("doctor::{case}"))? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let mut gateway = lab.gateway(&lab.settings())?;
    let file = gateway.folders.root.join("foreign.o");
    fs::write(&file, foreign::object())?;
    let file = file.to_string_lossy().into_owned();
    lab.inside.ip(&["link", "set", "dev", INTERFACE, "xdp", "object", &file, "section", "xdp"])?;
    let report = examine_configured(&lab, &gateway)?;
    ensure!(report.said.code == 1, "{:?}", report.said);
    let found = report.about(INTERFACE, "xdp slot")?;
    found.must_be("fail")?;
    let line = lab.inside.ip(&["-details", "link", "show", "dev", INTERFACE])?;
    let (_, id) = line.split_once("prog/xdp id ").context("no id in what ip says")?;
    let id = id.split_whitespace().next().unwrap_or_default();
    ensure!(found.what.contains(foreign::PROGRAM), "{found:?}");
    ensure!(found.what.contains(&format!("id {id};")), "{id}: {found:?}");

    let advised = found.change.split(';').next().unwrap_or_default().to_owned();
    let words: Vec<&str> = advised.split(' ').skip(1).collect();
    lab.inside.ip(&words)?;
    examine_configured(&lab, &gateway)?.about(INTERFACE, "xdp slot")?.must_be("ok")?;
    gateway.start()
}

#[test]
fn interfaces_with_the_generic_hook_alone_say_so() -> Result<()> {
    if skip::without_root("doctor::interfaces_with_the_generic_hook_alone_say_so")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    lab.inside.ip(&["link", "add", "br0", "type", "bridge"])?;
    let report = examine(&lab.inside, &["-i", "br0", "-i", "lo", "-i", INTERFACE])?;
    ensure!(report.said.code == 0, "the generic hook filters too: {:?}", report.said);
    for name in ["br0", "lo"] {
        let found = report.about(name, "native xdp")?;
        found.must_be("warn")?;
        ensure!(found.what.contains("generic"), "{found:?}");
        // Native attachment is refused indeed.
        let mut settings = lab.settings();
        settings.interface = Some(name.to_owned());
        let mut gateway = lab.gateway(&settings)?;
        gateway.spawn()?;
        ensure!(!gateway.wait_for_end()?.success(), "{name} has native XDP after all");
    }
    ensure!(report.about("br0", "parent")?.change.contains("ports"));
    report.about(INTERFACE, "native xdp")?.must_be("ok")
}

#[test]
fn packets_without_an_ethernet_header_are_told_of() -> Result<()> {
    if skip::without_root("doctor::packets_without_an_ethernet_header_are_told_of")? {
        return Ok(());
    }
    let inside = Namespace::create("tunnel")?;
    if inside.ip(&["tuntap", "add", "dev", "tunnel0", "mode", "tun"]).is_err() {
        let case = "doctor::packets_without_an_ethernet_header_are_told_of";
        return skip::record(case, "this kernel has no tunnels");
    }
    let report = examine(&inside, &["-i", "tunnel0"])?;
    ensure!(report.said.code == 1, "{:?}", report.said);
    report.about("tunnel0", "framing")?.must_be("fail")
}

#[test]
fn a_missing_interface_and_a_missing_file_fail_without_hiding_the_rest() -> Result<()> {
    let case = "a_missing_interface_and_a_missing_file_fail_without_hiding_the_rest";
    if skip::without_root(&format!("doctor::{case}"))? {
        return Ok(());
    }
    let inside = Namespace::create("empty")?;
    let report = examine(&inside, &["-i", "nowhere0", "--config", "/nonexistent/gateway.toml"])?;
    ensure!(report.said.code == 1, "{:?}", report.said);
    let found = report.about("nowhere0", "interface")?;
    found.must_be("fail")?;
    ensure!(found.change.contains("ip link"), "{found:?}");
    report.about("configuration", "file")?.must_be("fail")?;
    report.about("machine", "kernel")?.must_be("ok")?;
    // Without anything named there is nothing wrong.
    let report = examine(&inside, &[])?;
    ensure!(report.said.code == 0, "{:?}", report.said);
    report.about("interfaces", "interface")?.must_be("note")
}

#[test]
fn without_root_it_says_what_it_could_not_see() -> Result<()> {
    if skip::without_root("doctor::without_root_it_says_what_it_could_not_see")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let mut gateway = lab.gateway(&lab.settings())?;
    gateway.start()?;
    let folder = Path::new("/tmp").join(unique());
    fs::create_dir(&folder)?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
    let copy = folder.join("gateway");
    fs::copy(binary()?, &copy)?;
    let mut command = Command::new(&copy);
    command.args(["doctor", "--output", "json", "--config"]);
    command.arg(gateway.folders.configuration()).uid(65_534).gid(65_534);
    let report = Report::read(lab.inside.run(|| outcome(command))?);
    remove(&folder)?;
    let report = report?;
    ensure!(report.said.code == 0, "not seeing is not failing: {:?}", report.said);
    for (place, about) in [("machine", "capabilities"), ("kernel", "filter"), ("machine", "bpffs")]
    {
        let found = report.about(place, about)?;
        found.must_be("note")?;
        ensure!(found.change.contains("root"), "{found:?}");
    }
    // What anybody may see is seen.
    report.about(INTERFACE, "interface")?.must_be("ok")?;
    report.about(INTERFACE, "mtu")?.must_be("ok")
}
