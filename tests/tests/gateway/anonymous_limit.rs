//! An address over the anonymous limit is refused before anything else is asked.

use anyhow::{Result, ensure};
use gateway_tests::{
    client::Ask,
    lab::{HONEST_H2, STUFFER},
};

use super::{BOTH, with_gateway};

#[test]
fn address_over_its_limit_is_refused_and_its_neighbour_is_not() -> Result<()> {
    let case = "address_over_its_limit_is_refused_and_its_neighbour_is_not";
    let change = |settings: &mut gateway_tests::settings::Settings| {
        settings.proxy.push_str("\nanonymous = { rate = \"1/s\", burst = 5 }");
    };
    with_gateway(case, change, |house| {
        for (version, source) in BOTH.into_iter().zip([STUFFER, HONEST_H2]) {
            let client = house.client(version)?.from(source);
            let statuses = house.lab.outside.block_on(|| async {
                let mut connection = client.connect().await?;
                let mut statuses = Vec::new();
                for _ in 0..8 {
                    let answer = connection.send(&Ask::get("/echo")).await?;
                    if answer.status == 429 {
                        ensure!(!answer.header("retry-after").is_empty(), "{answer:?}");
                    }
                    statuses.push(answer.status.as_u16());
                }
                Ok(statuses)
            })?;
            ensure!(statuses[..5].iter().all(|status| *status == 200), "{statuses:?}");
            ensure!(statuses[6..].iter().all(|status| *status == 429), "{statuses:?}");
        }
        ensure!(house.refusals("anonymous_limit")? >= 4);
        Ok(())
    })
}
