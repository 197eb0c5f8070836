//! A route that asks for authentication is never served without it.

use anyhow::{Result, ensure};
use gateway_tests::{client::Ask, load::guess, origin::echoed};

use super::{BOTH, with_gateway};

#[test]
fn refuses_every_wrong_credential_and_serves_the_right_one() -> Result<()> {
    let change = |settings: &mut gateway_tests::settings::Settings| {
        "threshold = 1000000".clone_into(&mut settings.bans);
    };
    with_gateway("refuses_every_wrong_credential_and_serves_the_right_one", change, |house| {
        let partner = house.gateway.new_key("partners", "other")?;
        for version in BOTH {
            let ask = Ask::get("/private/x");
            let answer = house.refused(version, &ask, 401, "credential_missing")?;
            ensure!(!answer.header("www-authenticate").is_empty(), "{answer:?}");
            let with = |key: &str| Ask::get("/private/x").with("x-api-key", key);
            house.refused(version, &with("letmein"), 401, "credential_malformed")?;
            house.refused(version, &with(&guess(1)), 401, "credential_unknown")?;
            house.refused(version, &with(&partner), 403, "credential_forbidden")?;
            let twice = with(&house.key).with("x-api-key", &house.key);
            house.refused(version, &twice, 401, "credential_malformed")?;

            let before = house.lab.origin.served();
            let answer = house.ask(version, &house.authorized("/private/x"))?;
            assert_eq!(answer.status, 200);
            assert_eq!(house.lab.origin.served(), before + 1);
            ensure!(
                echoed(&answer.json()?, "x-api-key").is_empty(),
                "the key went to the supplier"
            );
        }
        Ok(())
    })
}

#[test]
fn revoked_key_is_refused_at_once() -> Result<()> {
    with_gateway(
        "revoked_key_is_refused_at_once",
        |_| {},
        |house| {
            let [version, _] = BOTH;
            let key = house.gateway.new_key("customers", "leaver")?;
            let ask = Ask::get("/private/x").with("x-api-key", &key);
            assert_eq!(house.ask(version, &ask)?.status, 200);
            let id = key.split('_').nth(1).unwrap_or_default();
            house.gateway.must(&["key", "revoke", id])?;
            house.refused(version, &ask, 401, "credential_revoked")?;
            assert_eq!(house.ask(version, &house.authorized("/private/x"))?.status, 200);
            Ok(())
        },
    )
}
