//! Both kinds of supplier, and what a client reads when one is slow, dead or rude.

use std::time::Duration;

use anyhow::{Result, ensure};
use gateway_tests::client::Ask;
use gateway_userspace::clock;

use super::{BOTH, with_gateway};

#[test]
fn both_protocols_reach_both_kinds_of_supplier() -> Result<()> {
    with_gateway(
        "both_protocols_reach_both_kinds_of_supplier",
        |_| {},
        |house| {
            for version in BOTH {
                for (path, spoken) in [("/private/x?a=1", "HTTP/1.1"), ("/h2/x?a=1", "HTTP/2.0")] {
                    let asks = vec![house.authorized(path); 5];
                    for answer in house.ask_all(version, &asks)? {
                        assert_eq!(answer.status, 200);
                        let seen = answer.json()?;
                        ensure!(seen["version"] == spoken, "{seen}");
                        ensure!(seen["query"] == "a=1", "{seen}");
                    }
                }
            }
            Ok(())
        },
    )
}

#[test]
fn large_answers_arrive_whole() -> Result<()> {
    with_gateway(
        "large_answers_arrive_whole",
        |_| {},
        |house| {
            for version in BOTH {
                let answer = house.ask(version, &Ask::get("/big/5000000"))?;
                assert_eq!(answer.body.len(), 5_000_000);
            }
            Ok(())
        },
    )
}

#[test]
fn supplier_faults_become_502_and_504_without_names() -> Result<()> {
    with_gateway(
        "supplier_faults_become_502_and_504_without_names",
        |_| {},
        |house| {
            for version in BOTH {
                let answer =
                    house.refused(version, &Ask::get("/down"), 502, "supplier_unreachable")?;
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                ensure!(!text.contains("127.0.0.1") && !text.contains("down"), "{text}");
                let start = clock::now();
                house.refused(version, &Ask::get("/delay/5000"), 504, "supplier_timeout")?;
                ensure!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
                let answer = house.ask(version, &Ask::get("/close"))?;
                assert_eq!(answer.status, 502);
                // The supplier's own errors are the supplier's own.
                assert_eq!(house.ask(version, &Ask::get("/status/503"))?.status, 503);
                assert_eq!(house.ask(version, &Ask::get("/delay/10"))?.status, 200);
            }
            Ok(())
        },
    )
}
