//! Only the route's methods, only bodies it takes, only routes there are.

use anyhow::{Result, ensure};
use gateway_tests::client::Ask;

use super::{BOTH, with_gateway};

#[test]
fn unknown_routes_wrong_methods_and_large_bodies_are_refused() -> Result<()> {
    let case = "unknown_routes_wrong_methods_and_large_bodies_are_refused";
    with_gateway(
        case,
        |_| {},
        |house| {
            for version in BOTH {
                house.refused(version, &Ask::get("/nowhere"), 404, "route_unknown")?;
                let answer = house.refused(version, &Ask::get("/small"), 405, "method_refused")?;
                assert_eq!(answer.header("allow"), "POST");
                let before = house.lab.origin.served();
                let large = Ask::post("/small", vec![b'x'; 1025]);
                house.refused(version, &large, 413, "body_too_large")?;
                assert_eq!(house.lab.origin.served(), before, "the supplier saw a refused body");
                let answer = house.ask(version, &Ask::post("/small", vec![b'x'; 1024]))?;
                assert_eq!(answer.status, 200);
                ensure!(answer.json()?["body_bytes"] == 1024);
            }
            Ok(())
        },
    )
}
