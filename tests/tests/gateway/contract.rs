//! Requests and answers held to an OpenAPI contract.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use gateway_tests::client::Ask;
use serde_json::Value;

use super::{BOTH, CURL_VERSIONS, with_gateway};

const CONTRACT: &str = r#"
openapi: 3.1.0
info: { title: Payments, version: "1" }
paths:
  /payments:
    get:
      parameters:
        - { name: limit, in: query, schema: { type: integer, maximum: 100 } }
      responses:
        200: { description: a page, content: { application/json: { schema: { type: object } } } }
    post:
      requestBody:
        required: true
        content:
          application/json:
            schema:
              type: object
              required: [amount]
              properties: { amount: { type: integer, exclusiveMinimum: 0 } }
      responses:
        200:
          description: what the origin saw
          content:
            application/json:
              schema: { type: object, properties: { method: { type: string } } }
"#;

#[test]
fn what_the_contract_does_not_know_is_refused() -> Result<()> {
    let case = "what_the_contract_does_not_know_is_refused";
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("payments.yaml");
    fs::write(&path, CONTRACT)?;
    let route = |name: &str, more: &str| {
        format!(
            "[[route]]\nname = \"{name}\"\npath = \"/{name}/{{*rest}}\"\nrewrite = \"/{{*rest}}\"\n\
             supplier = \"plain\"\nidentity = \"none\"\n\
             openapi = {{ documents = [\"{}\"], base = \"/{name}\"{more} }}\n",
            path.display()
        )
    };
    let routes = [
        route("strict", ""),
        route("sanitized", ", unknown = \"remove\""),
        route("promised", ", answers = true"),
    ];
    with_gateway(
        case,
        |settings| settings.services += &routes.concat(),
        |house| {
            for version in BOTH {
                let good = house.ask(version, &Ask::get("/strict/payments?limit=20"))?;
                ensure!(good.status == 200, "{version:?}: {}", good.status);
                for (path, status, reason) in [
                    ("/strict/payments?limit=1000", 400, "contract_parameter"),
                    ("/strict/payments?limit=a", 400, "contract_parameter"),
                    ("/strict/payments?debug=1", 400, "contract_unknown"),
                    ("/strict/admin", 404, "contract_path"),
                ] {
                    house.refused(version, &Ask::get(path), status, reason)?;
                }
                let kept = house.ask(version, &Ask::get("/sanitized/payments?debug=1&limit=5"))?;
                let echo: Value = serde_json::from_slice(&kept.body).context("no echo")?;
                let target = echo.to_string();
                ensure!(target.contains("limit=5") && !target.contains("debug"), "{target}");
                let bad = Ask::get("/promised/payments");
                let plain = house.ask(version, &bad)?;
                ensure!(plain.status == 200, "an object is promised: {}", plain.status);
            }
            for version in CURL_VERSIONS {
                let send = |route: &str, body: &str, kind: &str| {
                    let kind = format!("content-type: {kind}");
                    let arguments = [version, "--data-raw", body, "--header", &kind];
                    house.curl(&format!("/{route}/payments"), &arguments)
                };
                let json = "application/json";
                for (body, kind, status) in [
                    ("{\"amount\":5}", json, 200),
                    ("{\"amount\":\"5\"}", json, 422),
                    ("{\"amount\":5,\"amount\":6}", json, 400),
                    ("{\"amount\":5,\"approved\":true}", json, 400),
                    ("amount=5", "application/x-www-form-urlencoded", 415),
                ] {
                    let said = send("strict", body, kind)?;
                    ensure!(said.contains(&format!(" {status}")), "{version} {body}: {said}");
                }
                let said = send("sanitized", "{\"amount\":5,\"approved\":true}", json)?;
                let (_, echo) = said.rsplit_once("\r\n\r\n").context("no head")?;
                let echo: Value =
                    serde_json::from_str(echo).with_context(|| format!("reading {said}"))?;
                ensure!(echo["body_bytes"] == 12, "the member is gone: {echo}");
                let said = send("promised", "{\"amount\":5}", json)?;
                ensure!(said.contains(" 502"), "the origin says more than it promised: {said}");
            }
            Ok(())
        },
    )
}
