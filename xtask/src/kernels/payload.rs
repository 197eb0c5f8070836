//! What runs in the guest: the packet tests and the XDP object they were built with, as cargo
//! names them, and the libraries they are linked to.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Scope, fetch::answer};
use crate::command;

/// Test targets that judge packets in a kernel are named so, as cargo's pattern.
const TESTS: &str = "xdp*";

/// Runs the parser on the host and asks no kernel.
const NOT_IN_KERNEL: &str = "xdp_oracle";

/// Loads the object and tells what the verifier made of it.
const VERIFIER: &str = "verifier";

/// The object in the build folder of gateway-userspace, which includes it.
const OBJECT: &str = "gateway-ebpf";

/// Programs of this system that the lab calls.
const TOOLS: [&str; 3] = ["ip", "tc", "ethtool"];

/// A file for the guest: where it goes, what it holds.
pub(super) type File = (String, Vec<u8>);

/// Builds all of it.
pub(super) fn build(scope: Scope, folder: &Path) -> Result<Vec<File>> {
    let built = Built::with_cargo()?;
    let tests = if scope == Scope::Tests { built.tests() } else { BTreeMap::new() };
    let list: String = tests.keys().flat_map(|name| [name, "\n"]).collect();
    let mut files = vec![
        ("init".to_owned(), include_bytes!("init.sh").to_vec()),
        ("tests/list".to_owned(), list.into_bytes()),
        (format!("tests/{OBJECT}"), read(&built.object()?)?),
    ];
    let mut programs = vec![(format!("tests/{VERIFIER}"), strip(&built.verifier()?, folder)?)];
    for (name, file) in &tests {
        programs.push((format!("tests/{name}"), strip(file, folder)?));
    }
    for name in TOOLS.into_iter().chain(["busybox"]) {
        let file = command::find(name).with_context(|| format!("{name} is not installed"))?;
        programs.push((format!("bin/{name}"), file));
    }
    let mut libraries = BTreeSet::new();
    for (path, file) in programs {
        libraries.extend(linked(&file));
        files.push((path, read(&file)?));
    }
    for library in libraries {
        files.push((library.clone(), read(Path::new(&library))?));
    }
    Ok(files)
}

/// What cargo said it built, a JSON object a line.
struct Built(Vec<Value>);

impl Built {
    fn with_cargo() -> Result<Self> {
        let mut cargo = command::cargo();
        cargo.args(["test", "--no-run", "--message-format", "json-render-diagnostics"]);
        // The package's programs are built along with its tests.
        cargo.args(["--package", "gateway-tests"]);
        cargo.args(["--test", TESTS]);
        println!("$ {}", command::shown(&cargo));
        let output = cargo.stderr(Stdio::inherit()).output().context("starting cargo")?;
        if !output.status.success() {
            bail!("the packet tests do not build");
        }
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(Self(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()))
    }

    /// By name.
    fn tests(&self) -> BTreeMap<String, PathBuf> {
        self.executables("test").filter(|(name, _)| name != NOT_IN_KERNEL).collect()
    }

    fn verifier(&self) -> Result<PathBuf> {
        let found = self.executables("bin").find(|(name, _)| name == VERIFIER);
        Ok(found.with_context(|| format!("cargo built no {VERIFIER}"))?.1)
    }

    fn executables(&self, wanted: &str) -> impl Iterator<Item = (String, PathBuf)> {
        self.0.iter().filter_map(move |message| {
            let target = message.get("target")?;
            let kinds = target.get("kind")?.as_array()?;
            let executable = message.get("executable")?.as_str()?;
            let name = target.get("name")?.as_str()?.to_owned();
            kinds.iter().any(|kind| kind == wanted).then(|| (name, executable.into()))
        })
    }

    fn object(&self) -> Result<PathBuf> {
        let found = self.0.iter().rev().find_map(|message| {
            let package = message.get("package_id")?.as_str()?;
            let folder = message.get("out_dir")?.as_str()?;
            package.contains("gateway-userspace").then(|| Path::new(folder).join(OBJECT))
        });
        found.context("cargo named no folder of the XDP object")
    }
}

/// Without names for a debugger, which are most of the file and of no use without its sources.
fn strip(file: &Path, folder: &Path) -> Result<PathBuf> {
    let name = file.file_name().with_context(|| format!("{} has no name", file.display()))?;
    let stripped = folder.join(name);
    answer(Command::new("strip").arg("-o").arg(&stripped).arg(file))?;
    Ok(stripped)
}

/// Libraries and the loader, by path. None if it is linked to none, as a static busybox.
fn linked(program: &Path) -> Vec<String> {
    let said = command::output("ldd", &[&program.to_string_lossy()]).unwrap_or_default();
    let path = |line: &str| {
        let path = line.split_whitespace().find(|word| word.starts_with('/'))?;
        Some(path.to_owned())
    };
    said.lines().filter_map(path).collect()
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("reading {}", file.display()))
}
