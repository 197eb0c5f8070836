//! What gzip packed reaches the supplier as it was; what would burst is refused.

use std::{fs::File, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};

use super::{CURL_VERSIONS, PACKED, with_gateway};

#[test]
fn packed_requests_are_unpacked_and_bombs_are_refused() -> Result<()> {
    let case = "packed_requests_are_unpacked_and_bombs_are_refused";
    with_gateway(
        case,
        |settings| settings.services += PACKED,
        |house| {
            let folder = &house.gateway.folders.root;
            // Packed small enough to be sent whole before the answer comes: curl 7.88 takes an early
            // end of its stream for a fault, and does not show what came before it.
            let (lawful, bomb) = (packed(folder, 3000)?, packed(folder, 16 << 20)?);
            for version in CURL_VERSIONS {
                let send = |file: &str| {
                    let field = "content-encoding: gzip";
                    house.curl("/packed", &[version, "--data-binary", file, "--header", field])
                };
                let said = send(&lawful)?;
                let (_, body) = said.rsplit_once("\r\n\r\n").context("no head")?;
                let echo: serde_json::Value =
                    serde_json::from_str(body).with_context(|| format!("reading {said}"))?;
                ensure!(echo["body_bytes"] == 3000, "{echo}");
                ensure!(echo["headers"].get("content-encoding").is_none(), "{echo}");
                let refused = || {
                    anyhow::Ok(
                        house.refusals("decoded_ratio")? + house.refusals("decoded_too_large")?,
                    )
                };
                let before = refused()?;
                let said = send(&bomb)?;
                ensure!(said.contains(" 413"), "{version}: {said}");
                ensure!(refused()? == before + 1, "{version}: not counted");
            }
            Ok(())
        },
    )
}

/// So many zeros, packed, as curl names a file.
fn packed(folder: &Path, size: u64) -> Result<String> {
    let path = folder.join(format!("{size}.zeros"));
    File::create(&path)?.set_len(size)?;
    let done = Command::new("gzip").arg("--force").arg(&path).status().context("starting gzip")?;
    ensure!(done.success(), "gzip: {done}");
    Ok(format!("@{}.gz", path.display()))
}
