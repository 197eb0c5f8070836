//! A client that knows nothing of the gateway unpacks what it packs; where packing would tell a
//! secret, nothing is packed.

use anyhow::{Context as _, Result, ensure};

use super::{CURL_VERSIONS, PACKED, with_gateway};

#[test]
fn curl_reads_packed_answers_and_gets_none_with_a_cookie() -> Result<()> {
    let case = "curl_reads_packed_answers_and_gets_none_with_a_cookie";
    with_gateway(
        case,
        |settings| settings.services += PACKED,
        |house| {
            let data = "x".repeat(3000);
            for version in CURL_VERSIONS {
                let ask = |more: &[&str]| {
                    let arguments = [&[version, "--data", &data], more].concat();
                    let said = house.curl("/packed", &arguments)?;
                    let (head, body) = said.split_once("\r\n\r\n").context("no head")?;
                    let echo: serde_json::Value =
                        serde_json::from_str(body).with_context(|| format!("reading {body}"))?;
                    ensure!(echo["body_bytes"] == 3000, "{echo}");
                    Ok(head.to_ascii_lowercase().contains("\r\ncontent-encoding: "))
                };
                ensure!(ask(&["--compressed"])?, "{version}: not packed");
                ensure!(!ask(&[])?, "{version}: packed for who did not ask");
                let ambient = ["--compressed", "--cookie", "session=1"];
                ensure!(!ask(&ambient)?, "{version}: packed beside a cookie");
            }
            Ok(())
        },
    )
}
