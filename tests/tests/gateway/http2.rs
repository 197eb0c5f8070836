//! h2 held against suites that share no code with the gateway: frames by RFC 9113, field blocks by
//! RFC 7541, calls by a gRPC library. They are Python programs in `tests/h2`.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use gateway_tests::{certs::NAME, lab::Lab, settings::Settings, skip};

use super::{House, with_gateway};

/// Cases of the frame suite, at least: one that ran none would pass.
const FRAME_CASES: u32 = 200;
const CALLS: u32 = 10;

/// What the frame suite asks for.
const ROOT: &str = r#"
[[route]]
name = "root"
path = "/"
supplier = "plain"
identity = "none"
upgrade = ["websocket"]
"#;

/// What the calls ask for; the server is in the gateway's namespace, which has its ports to itself.
const CALLED: &str = r#"
[[supplier]]
name = "calls"
targets = ["h2c://127.0.0.1:50051"]
local = true

[[route]]
path = "/lab.Echo/{method}"
supplier = "calls"
identity = "none"

[[route]]
path = "/lab.Guarded/{method}"
supplier = "calls"
identity = "customers"

[[route]]
path = "/lab.Down/{method}"
supplier = "down"
identity = "none"
"#;

#[test]
fn conforms_to_rfc_9113_and_7541_frame_by_frame() -> Result<()> {
    let case = "conforms_to_rfc_9113_and_7541_frame_by_frame";
    let change = |settings: &mut Settings| settings.services += ROOT;
    with_gateway(case, change, |house| {
        let Some(passed) = suite(house, case, "conformance.py")? else { return Ok(()) };
        ensure!(passed >= FRAME_CASES, "{passed} cases ran");
        ensure!(house.refusals("h2_protocol")? > 50, "breaches were not counted");
        Ok(())
    })
}

#[test]
fn grpc_calls_of_every_kind_pass_and_refusals_are_statuses() -> Result<()> {
    let case = "grpc_calls_of_every_kind_pass_and_refusals_are_statuses";
    let change = |settings: &mut Settings| settings.services += CALLED;
    with_gateway(case, change, |house| {
        if !python()?.is_file() {
            return skip::record(case, WITHOUT_PYTHON);
        }
        let _origin = Origin::start(house)?;
        let passed = suite(house, case, "grpc_calls.py")?;
        ensure!(passed >= Some(CALLS), "{passed:?} calls ran");
        Ok(())
    })
}

const WITHOUT_PYTHON: &str = "needs the Python packages of `cargo xtask setup`";

/// The gRPC server; dropping it ends it.
struct Origin(Child);

impl Origin {
    fn start(house: &House<'_>) -> Result<Self> {
        let python = python()?;
        let mut child = house.lab.inside.run(|| {
            let mut command = Command::new(python);
            command.arg(program("grpc_origin.py")).args(["--listen", "127.0.0.1:50051"]);
            command.env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null());
            command.stdout(Stdio::piped()).spawn().context("starting the gRPC server")
        })?;
        let stdout = child.stdout.take().context("hearing the gRPC server")?;
        let origin = Self(child);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).context("hearing the gRPC server")?;
        ensure!(line.trim() == "ready", "the gRPC server said {line:?}");
        Ok(origin)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        // One that has ended is as good.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// How many cases of a suite passed, all of them; `None` where it cannot run.
fn suite(house: &House<'_>, case: &str, name: &str) -> Result<Option<u32>> {
    let python = python()?;
    if !python.is_file() {
        skip::record(case, WITHOUT_PYTHON)?;
        return Ok(None);
    }
    let server = Lab::server();
    let output = house.lab.outside.run(|| {
        let mut command = Command::new(python);
        command.arg(program(name)).args(["--address", &server.ip().to_string()]);
        command.args(["--port", &server.port().to_string(), "--name", NAME]);
        command.arg("--ca").arg(&house.lab.certificates.authority).stdin(Stdio::null());
        command.env("PYTHONDONTWRITEBYTECODE", "1").output().context("starting the suite")
    })?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("{name}:\n{said}{}", String::from_utf8_lossy(&output.stderr));
    }
    let passed = said.lines().last().and_then(|line| line.split(' ').next());
    Ok(Some(passed.context("no count")?.parse().context("reading the count")?))
}

fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("h2").join(name)
}

/// Beside what cargo builds, where setup puts it.
fn python() -> Result<PathBuf> {
    let own = std::env::current_exe().context("finding this program")?;
    let target = own.ancestors().nth(3).context("finding target/")?;
    Ok(target.join("python/bin/python"))
}
