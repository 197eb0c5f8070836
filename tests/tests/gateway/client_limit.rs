//! A client over its route's limit gets 429 and is told when to come back.

use anyhow::{Result, ensure};
use gateway_tests::client::Ask;

use super::{BOTH, refusal, with_gateway};

#[test]
fn fourth_request_at_once_is_refused_and_another_client_is_not() -> Result<()> {
    let case = "fourth_request_at_once_is_refused_and_another_client_is_not";
    with_gateway(
        case,
        |_| {},
        |house| {
            let other = house.gateway.new_key("customers", "other")?;
            for (version, key) in BOTH.into_iter().zip([&house.key, &other]) {
                let asks = vec![Ask::get("/limited").with("x-api-key", key); 4];
                let answers = house.ask_all(version, &asks)?;
                for answer in &answers[..3] {
                    assert_eq!(answer.status, 200);
                    ensure!(!answer.header("ratelimit").is_empty(), "{answer:?}");
                    ensure!(!answer.header("ratelimit-policy").is_empty(), "{answer:?}");
                }
                refusal(&answers[3], 429)?;
                let retry: u64 = answers[3].header("retry-after").parse()?;
                ensure!((1..=3).contains(&retry), "{:?}", answers[3]);
            }
            assert_eq!(house.refusals("client_limit")?, 2);
            Ok(())
        },
    )
}
