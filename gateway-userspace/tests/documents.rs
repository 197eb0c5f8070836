//! The documents say what the code does: every reason stands in its table.

use std::{
    fs,
    path::{Path, PathBuf},
};

use gateway_common::{Reason, reason::Plane};

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

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
