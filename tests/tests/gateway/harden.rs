//! What suppliers say about themselves stays here, and hop-by-hop headers end here, both ways.

use anyhow::{Result, ensure};
use gateway_tests::{client::Ask, lab::HONEST, origin::echoed};

use super::{BOTH, with_gateway};

#[test]
fn answers_tell_nothing_about_the_supplier() -> Result<()> {
    with_gateway(
        "answers_tell_nothing_about_the_supplier",
        |_| {},
        |house| {
            for version in BOTH {
                let answer = house.ask(version, &Ask::get("/indiscreet"))?;
                assert_eq!(answer.status, 200);
                for name in ["server", "x-powered-by"] {
                    ensure!(!answer.header(name).contains("origin"), "{answer:?}");
                    ensure!(!answer.header(name).contains("lab"), "{answer:?}");
                }
                assert_eq!(answer.header("x-kept"), "kept");
                assert_eq!(answer.header("x-content-type-options"), "nosniff");
                ensure!(!answer.header("strict-transport-security").is_empty(), "{answer:?}");
                ensure!(!answer.header("x-request-id").is_empty(), "{answer:?}");
            }
            Ok(())
        },
    )
}

#[test]
fn forged_forwarding_headers_do_not_reach_the_supplier() -> Result<()> {
    with_gateway(
        "forged_forwarding_headers_do_not_reach_the_supplier",
        |_| {},
        |house| {
            for version in BOTH {
                let ask = Ask::get("/echo")
                    .with("x-forwarded-for", "203.0.113.9")
                    .with("forwarded", "for=203.0.113.9")
                    .with("x-forwarded-proto", "http")
                    .with("x-request-id", "mine");
                let seen = house.ask(version, &ask)?.json()?;
                assert_eq!(echoed(&seen, "x-forwarded-for"), [HONEST.to_string()]);
                assert_eq!(echoed(&seen, "x-forwarded-proto"), ["https"]);
                let forwarded = echoed(&seen, "forwarded").concat();
                ensure!(!forwarded.contains("203.0.113.9"), "{seen}");
                let ids = echoed(&seen, "x-request-id");
                ensure!(ids.len() == 1 && ids[0] != "mine", "{seen}");
            }
            Ok(())
        },
    )
}

#[test]
fn named_hop_by_hop_headers_end_here() -> Result<()> {
    with_gateway(
        "named_hop_by_hop_headers_end_here",
        |_| {},
        |house| {
            let [http1, _] = BOTH;
            let ask = Ask::get("/echo")
                .with("connection", "x-secret, keep-alive")
                .with("x-secret", "1")
                .with("te", "gzip")
                .with("proxy-authorization", "Basic eA==")
                .with("x-open", "2");
            let seen = house.ask(http1, &ask)?.json()?;
            for name in ["x-secret", "proxy-authorization", "keep-alive"] {
                ensure!(echoed(&seen, name).is_empty(), "{name}: {seen}");
            }
            assert_eq!(echoed(&seen, "x-open"), ["2"]);
            Ok(())
        },
    )
}
