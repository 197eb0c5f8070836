//! The documents say what the code does: every reason stands in its table, the configuration that
//! the README shows is accepted, every link leads somewhere, and every test that is named exists.

use std::{
    fs,
    path::{Path, PathBuf},
};

use gateway_common::{Reason, reason::Plane};
use gateway_userspace::config;

#[test]
fn every_reason_has_its_row_in_the_document() {
    let document = fs::read_to_string(root().join("docs/reasons.md")).unwrap();
    let written: Vec<&str> = document.lines().filter(|line| is_row(line)).collect();
    let expected: Vec<String> = Reason::ALL.iter().map(|reason| row(*reason)).collect();
    assert_eq!(
        written,
        expected,
        "docs/reasons.md should hold exactly these rows, in this order:\n{}",
        expected.join("\n")
    );
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut broken = Vec::new();
    for document in documents() {
        let folder = document.parent().unwrap();
        let text = fs::read_to_string(&document).unwrap();
        let targets = links(&text).filter(|target| !folder.join(target).exists());
        broken.extend(targets.map(|target| format!("{}: {target}", document.display())));
    }
    assert!(broken.is_empty(), "links to nothing:\n{}", broken.join("\n"));
}

#[test]
fn the_first_configuration_of_the_readme_is_accepted() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, rest) = readme.split_once("```toml\n").unwrap();
    let (text, _) = rest.split_once("```").unwrap();
    let config = config::load(text, "README.md").unwrap_or_else(|faults| panic!("{faults}"));
    assert!(config.kernel.enabled);
    assert!(config.routes.iter().all(|route| route.identity.is_some()));
}

/// One row as the document holds it.
fn row(reason: Reason) -> String {
    let info = reason.info();
    let plane = match info.plane {
        Plane::Packet => "packet",
        Plane::Request => "request",
        Plane::Ban => "ban",
    };
    let status = if info.status == 0 { "-".to_owned() } else { info.status.to_string() };
    let (number, name, strike, title) = (reason.number(), info.name, info.strike, info.title);
    format!("| {number} | `{name}` | {plane} | {status} | {strike} | {title} |")
}

fn is_row(line: &str) -> bool {
    line.strip_prefix("| ").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Targets of `[text](target)` that are files, without the fragment.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets
        .filter(|target| !target.contains("://") && !target.starts_with('#'))
        .map(|target| target.split('#').next().unwrap_or_default())
}

fn documents() -> Vec<PathBuf> {
    let folders = ["", "docs", "docs/adr"].map(|folder| root().join(folder));
    let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
