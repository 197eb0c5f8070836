//! The command line as people and scripts meet it: exit codes, one-line errors that say what, where
//! and what to do next, and a gateway that will not start where it should not.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    os::unix::{fs::PermissionsExt, net::UnixListener, process::CommandExt},
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, anyhow, ensure};
use gateway_tests::{
    gateway::{Gateway, Outcome, binary, outcome},
    lab::{INTERFACE, Lab},
    netns::{remove, unique},
    settings::Settings,
    skip,
};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

fn run(arguments: &[&str]) -> Result<Outcome> {
    let mut command = Command::new(binary()?);
    // Nothing of this machine's own gateway, if it has one.
    command.args(["--socket", "/nonexistent/control.sock"]).args(arguments);
    outcome(command)
}

/// One line, and these words in it.
fn one_line(said: &Outcome, words: &[&str]) -> Result<()> {
    ensure!(said.code == 1, "exit code {}: {said:?}", said.code);
    ensure!(said.stderr.trim_end().lines().count() == 1, "not one line: {said:?}");
    ensure!(said.stderr.starts_with("gateway: "), "{said:?}");
    for word in words {
        ensure!(said.stderr.contains(word), "no `{word}` in {said:?}");
    }
    Ok(())
}

#[test]
fn wrong_usage_ends_with_2() -> Result<()> {
    for arguments in [
        &["nonsense"][..],
        &[],
        &["block", "add"],
        &["block", "add", "300.1.2.3"],
        &["block", "add", "192.0.2.1", "--ttl", "soon"],
        &["block", "list", "--output", "yaml"],
        &["completions", "cobol"],
        &["run", "--kernel", "maybe"],
    ] {
        let said = run(arguments)?;
        ensure!(said.code == 2, "{arguments:?}: {said:?}");
        ensure!(!said.stderr.is_empty(), "{arguments:?}");
    }
    Ok(())
}

#[test]
fn commands_without_a_gateway_say_so() -> Result<()> {
    for arguments in
        [&["status"][..], &["block", "list"], &["why", "192.0.2.1"], &["panic", "pass"]]
    {
        one_line(&run(arguments)?, &["/nonexistent/control.sock", "gateway run"])?;
    }
    Ok(())
}

#[test]
fn what_needs_no_gateway_works_without_one() -> Result<()> {
    for (arguments, words) in [
        (&["pipeline"][..], &["normalize", "authenticate"][..]),
        (&["completions", "bash"], &["gateway"]),
        (&["man"], &["gateway"]),
        (&["--version"], &["gateway"]),
        (&["--help"], &["block", "status"]),
    ] {
        let said = run(arguments)?;
        ensure!(said.code == 0, "{arguments:?}: {said:?}");
        let text = said.stdout.to_lowercase();
        ensure!(words.iter().all(|word| text.contains(word)), "{arguments:?}: {text}");
    }
    Ok(())
}

/// One fault a line from the second on, of five kinds: unknown key, wrong type, bad value, dangling
/// reference, missing key.
const FAULTS: &str = "[kernel]
interfcaes = [\"eth0\"]
events = \"many\"
packets = { rate = \"20 per day\", burst = 40000 }
[[route]]
path = \"/x\"
supplier = \"nobody\"
[[listener]]
certificate = \"/etc/gateway/tls/edge.pem\"
key = \"/etc/gateway/tls/edge.key\"
";

#[test]
fn check_tells_five_faults_at_once_with_their_lines() -> Result<()> {
    let folder = Path::new("/tmp").join(unique());
    fs::create_dir(&folder)?;
    let file = folder.join("gateway.toml");
    fs::write(&file, FAULTS)?;
    let said = run(&["check", &file.to_string_lossy()])?;
    remove(&folder)?;
    ensure!(said.code == 1, "{said:?}");
    let text = format!("{}{}", said.stdout, said.stderr);
    for (line, words) in [
        (2, &["interfcaes", "interfaces"][..]),
        (3, &["events"]),
        (4, &["rate"]),
        (7, &["supplier", "nobody"]),
        (8, &["address"]),
    ] {
        let place = format!("gateway.toml:{line}:");
        let found = text
            .lines()
            .any(|told| told.contains(&place) && words.iter().all(|word| told.contains(word)));
        ensure!(found, "no fault at line {line} with {words:?} in:\n{text}");
    }
    Ok(())
}

/// Starts a gateway that must not come up, and returns what it said.
fn refused(gateway: &mut Gateway<'_>) -> Result<Outcome> {
    let before = gateway.folders.log().len();
    gateway.spawn()?;
    let status = gateway.wait_for_end()?;
    let log = gateway.folders.log();
    let stderr = log.get(before..).unwrap_or_default();
    // What is logged on the way there comes first; the error itself is the last line.
    let last = stderr.trim_end().lines().last().unwrap_or_default().to_owned();
    Ok(Outcome { code: status.code().unwrap_or(-1), stdout: String::new(), stderr: last })
}

/// A start with these settings that must fail with these words.
fn refuses_to_start(case: &str, words: &[&str], change: impl FnOnce(&mut Settings)) -> Result<()> {
    if skip::without_root(&format!("cli::{case}"))? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let mut settings = lab.settings();
    change(&mut settings);
    let mut gateway = lab.gateway(&settings)?;
    one_line(&refused(&mut gateway)?, words)
}

#[test]
fn missing_interface_is_named() -> Result<()> {
    refuses_to_start("missing_interface_is_named", &["nowhere0", "ip link"], |settings| {
        settings.interface = Some("nowhere0".to_owned());
    })
}

#[test]
fn missing_proxy_user_is_named_with_the_command_that_makes_it() -> Result<()> {
    let case = "missing_proxy_user_is_named_with_the_command_that_makes_it";
    refuses_to_start(case, &["no-such-user", "useradd"], |settings| {
        "user = \"no-such-user\"".clone_into(&mut settings.guard);
    })
}

#[test]
fn pins_outside_bpffs_are_refused() -> Result<()> {
    let case = "pins_outside_bpffs_are_refused";
    if skip::without_root(&format!("cli::{case}"))? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let settings = lab.settings();
    let mut gateway = lab.gateway(&settings)?;
    gateway.folders.pins = gateway.folders.root.join("pins");
    gateway.configure(&settings)?;
    one_line(&refused(&mut gateway)?, &["bpf file system", "mount -t bpf"])
}

#[test]
fn unreadable_certificate_is_named() -> Result<()> {
    refuses_to_start("unreadable_certificate_is_named", &["/nonexistent/edge.pem"], |settings| {
        settings.certificate = "/nonexistent/edge.pem".into();
    })
}

#[test]
fn taken_port_is_named() -> Result<()> {
    if skip::without_root("cli::taken_port_is_named")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let mut gateway = lab.gateway(&lab.settings())?;
    let holder = lab.inside.run(|| TcpListener::bind(Lab::server()).context("taking the port"))?;
    one_line(&refused(&mut gateway)?, &["10.77.0.1:443", "in use"])?;
    drop(holder);
    gateway.start()
}

#[test]
fn interface_with_another_program_is_left_alone() -> Result<()> {
    if skip::without_root("cli::interface_with_another_program_is_left_alone")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let mut first = lab.gateway(&lab.settings())?;
    first.start()?;
    let program = first.status()?.kernel.interfaces.first().map(|interface| interface.program_id);
    ensure!(first.stop()?.success());
    // A filter that stays behind a stopped gateway is somebody else's for one with other pins.
    let mut second = lab.gateway(&lab.settings())?;
    one_line(&refused(&mut second)?, &[INTERFACE, "already has XDP program"])?;
    first.start()?;
    ensure!(first.status()?.kernel.interfaces.first().is_some_and(|now| now.attached == "native"));
    ensure!(program.is_some());
    Ok(())
}

#[test]
fn second_gateway_is_refused_and_the_first_serves_on() -> Result<()> {
    if skip::without_root("cli::second_gateway_is_refused_and_the_first_serves_on")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let mut gateway = lab.gateway(&lab.settings())?;
    gateway.start()?;
    let pid = gateway.guard_pid().context("no guard")?.to_string();
    let mut command = Command::new(binary()?);
    command.arg("run").arg("--config").arg(gateway.folders.configuration());
    let said = lab.inside.run(|| outcome(command))?;
    one_line(&last_line(said), &["already running", &pid])?;
    ensure!(gateway.status()?.proxy.state == "serving");
    Ok(())
}

#[test]
fn status_and_why_hold_no_capability_when_the_proxys_words_come() -> Result<()> {
    if skip::without_root("cli::status_and_why_hold_no_capability_when_the_proxys_words_come")? {
        return Ok(());
    }
    for arguments in [&["status"][..], &["why", "192.0.2.1"], &["block", "why", "192.0.2.1"]] {
        let status = seen_by_its_guard(arguments)?;
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            let none = format!("{set}:\t0000000000000000");
            ensure!(status.contains(&none), "{arguments:?} holds {set} in:\n{status}");
        }
        ensure!(status.contains("NoNewPrivs:\t1"), "{arguments:?}: {status}");
    }
    Ok(())
}

/// What a guard could see of a command, in /proc, before it answers.
fn seen_by_its_guard(arguments: &[&str]) -> Result<String> {
    let folder = Path::new("/tmp").join(unique());
    fs::create_dir(&folder)?;
    let path = folder.join("control.sock");
    let listener = UnixListener::bind(&path)?;
    let guard = std::thread::spawn(move || -> Result<String> {
        let (mut stream, _) = listener.accept()?;
        BufReader::new(&stream).read_line(&mut String::new())?;
        let pid = getsockopt(&stream, PeerCredentials)?.pid();
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        stream.write_all(b"{\"answer\":\"refused\",\"message\":\"seen\"}\n")?;
        Ok(status)
    });
    let mut command = Command::new(binary()?);
    command.arg("--socket").arg(&path).args(arguments);
    let said = outcome(command)?;
    ensure!(said.stderr.contains("seen"), "{said:?}");
    let status = guard.join().map_err(|_panic| anyhow!("the guard's thread panicked"))?;
    remove(&folder)?;
    status
}

fn last_line(said: Outcome) -> Outcome {
    let last = said.stderr.trim_end().lines().last().unwrap_or_default().to_owned();
    Outcome { stderr: last, ..said }
}

#[test]
fn strangers_without_root_learn_of_kernel_off() -> Result<()> {
    if skip::without_root("cli::strangers_without_root_learn_of_kernel_off")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let gateway = lab.gateway(&lab.settings())?;
    let copy = gateway.folders.root.join("gateway");
    fs::copy(binary()?, &copy)?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
    let mut command = Command::new(copy);
    command.arg("run").arg("--config").arg(gateway.folders.configuration());
    command.uid(65_534).gid(65_534);
    let said = lab.inside.run(|| outcome(command))?;
    one_line(&last_line(said), &["root", "--kernel off"])
}

#[test]
fn corrupt_store_is_named_and_left_as_it_is() -> Result<()> {
    if skip::without_root("cli::corrupt_store_is_named_and_left_as_it_is")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let mut settings = lab.settings();
    settings.interface = None;
    let mut gateway = lab.gateway(&settings)?;
    gateway.start()?;
    ensure!(gateway.stop()?.success());
    let entries = fs::read_dir(&gateway.folders.state)?.flatten();
    let store =
        entries.map(|entry| entry.path()).find(|path| path.is_file()).context("no store")?;
    let garbage = vec![0x5a; 8192];
    fs::write(&store, &garbage)?;
    one_line(&refused(&mut gateway)?, &[&store.to_string_lossy()])?;
    ensure!(fs::read(&store)? == garbage, "a store that may be repaired was written to");
    Ok(())
}

#[test]
fn exchanged_pins_are_not_taken_for_ours() -> Result<()> {
    if skip::without_root("cli::exchanged_pins_are_not_taken_for_ours")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let mut gateway = lab.gateway(&lab.settings())?;
    gateway.start()?;
    gateway.must(&["block", "add", "198.51.100.0/24"])?;
    ensure!(gateway.stop()?.success());
    let folders = fs::read_dir(&gateway.folders.pins)?.flatten().map(|entry| entry.path());
    let layout = folders.into_iter().find(|path| path.is_dir()).context("no folder of pins")?;
    let mut pins: Vec<_> = fs::read_dir(&layout)?.flatten().map(|entry| entry.path()).collect();
    pins.sort();
    let [first, .., last] = pins.as_slice() else { anyhow::bail!("no pins in {layout:?}") };
    let aside = layout.join("aside");
    for (from, to) in [(first, &aside), (last, first), (&aside, last)] {
        fs::rename(from, to)?;
    }
    one_line(&refused(&mut gateway)?, &["not a pin of ours", "kernel.pins"])
}

#[test]
fn listings_come_as_table_and_json_and_a_list_goes_round() -> Result<()> {
    if skip::without_root("cli::listings_come_as_table_and_json_and_a_list_goes_round")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let mut settings = lab.settings();
    settings.interface = None;
    let mut gateway = lab.gateway(&settings)?;
    gateway.start()?;
    let file = gateway.folders.root.join("list");
    fs::write(
        &file,
        "# theirs\n192.0.2.1\n198.51.100.0/24 # note\nnot-an-address\n2001:db8::/32\n",
    )?;
    let file_name = file.to_string_lossy().into_owned();
    let import = ["block", "import", &file_name, "--ttl", "1h", "--name", "theirs"];
    let said = gateway.cli(&import)?;
    ensure!(said.code == 1, "a bad line makes the exit code 1: {said:?}");
    ensure!(said.stderr.contains("list:4: not-an-address"), "its line: {said:?}");
    ensure!(gateway.bans()?.is_empty(), "nothing of the list is loaded");
    let said = gateway.cli(&[&import[..], &["--skip-invalid"]].concat())?;
    ensure!(said.code == 1 && said.stderr.contains("list:4: not-an-address"), "{said:?}");
    assert_eq!(gateway.bans()?.len(), 3);
    ensure!(gateway.must(&["block", "lists"])?.contains("theirs"));
    ensure!(gateway.must(&["block", "why", "198.51.100.7"])?.contains("theirs"));

    fs::write(&file, gateway.must(&["block", "export"])?)?;
    for net in ["192.0.2.1", "198.51.100.0/24", "2001:db8::/32"] {
        gateway.must(&["block", "rm", net])?;
    }
    ensure!(gateway.bans()?.is_empty());
    gateway.must(&["block", "unlist", "theirs"])?;
    gateway.must(&["block", "import", &file.to_string_lossy()])?;
    assert_eq!(gateway.bans()?.len(), 3);
    ensure!(gateway.must(&["block", "list"])?.contains("198.51.100.0/24"));
    let absent = gateway.cli(&["block", "rm", "203.0.113.1"])?;
    one_line(&absent, &["203.0.113.1"])?;

    gateway.must(&["allow", "add", "203.0.113.0/24", "--note", "office"])?;
    ensure!(gateway.json(&["allow", "list"])?.to_string().contains("office"));
    let key = gateway.new_key("customers", "one")?;
    let list = gateway.json(&["key", "list"])?.to_string();
    ensure!(list.contains("one") && !list.contains(&key), "{list}");
    ensure!(gateway.cli(&["key", "new", "--identity", "nobody", "--client", "one"])?.code == 1);
    ensure!(gateway.must(&["status"])?.contains("serving"));
    Ok(())
}
