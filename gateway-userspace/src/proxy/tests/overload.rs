//! More requests than can be served: who is shed, how soon, and who is not.

use std::{
    io::{Seek as _, Write as _},
    time::Duration,
};

use http::Method;
use tokio::task::JoinSet;

use super::{
    client::{Client, PATIENCE, full},
    lab::{Identified, Lab, config},
    origin::{Origin, Speaks},
};
use crate::{
    config::model::{Config, Priority, Route},
    ipc::message::Query,
    proxy::testing,
};

/// Routes `/low`, `/normal`, `/high` and one for the rest to a supplier that never answers `/never`.
fn classes(origin: &Origin, requests: u32) -> Config {
    let mut config = config();
    config.suppliers = vec![testing::supplier("echo", origin.kind())];
    config.suppliers[0].connections = 256;
    config.proxy.requests = requests;
    let class = |name: &str, priority| Route {
        name: name.to_owned(),
        priority,
        ..testing::route(&format!("/{name}"))
    };
    config.routes.extend([
        class("low", Priority::Low),
        class("normal", Priority::Normal),
        class("high", Priority::High),
    ]);
    config
}

/// Requests that hang, until they are dropped.
async fn hang(lab: &Lab, hanging: &mut JoinSet<()>, count: u32) {
    for _ in 0..count {
        let mut client = lab.h2().await;
        let request = client.request(Method::GET, "/never").body(full("")).unwrap();
        hanging.spawn(async move { drop(client.try_send(request).await) });
    }
}

async fn in_flight(lab: &Lab, count: u32) {
    let reached = async {
        while lab.instance().answer(&Query::Status)["requests_in_flight"] != count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.expect("so many in flight");
}

/// Statuses of one request a class: low, normal, high.
async fn classes_of(client: &mut Client) -> [u16; 3] {
    let mut statuses = [0; 3];
    for (status, path) in statuses.iter_mut().zip(["/low", "/normal", "/high"]) {
        let answer = client.get(path).await;
        *status = answer.status.as_u16();
        if *status == 503 {
            assert_eq!(answer.header("retry-after"), "1");
            assert_eq!(answer.json()["title"], "Temporarily unable to serve");
        }
    }
    statuses
}

#[tokio::test]
async fn the_lower_class_is_shed_first_and_the_high_one_is_served_to_the_end() {
    let origin = Origin::start(Speaks::First, &Identified::new()).await;
    let mut lab = Lab::start(classes(&origin, 20));
    let mut client = lab.h2().await;
    let mut hanging = JoinSet::new();
    for (count, served) in [
        (0, [200, 200, 200]),
        (13, [200, 200, 200]),
        (14, [503, 200, 200]),
        (17, [503, 200, 200]),
        (18, [503, 503, 200]),
    ] {
        let more = count - u32::try_from(hanging.len()).unwrap();
        hang(&lab, &mut hanging, more).await;
        in_flight(&lab, count).await;
        assert_eq!(classes_of(&mut client).await, served, "{count} in flight");
    }
    // All the while the high class keeps being served.
    for _ in 0..100 {
        assert_eq!(client.get("/high").await.status, 200);
    }
    hanging.abort_all();
    in_flight(&lab, 0).await;
    assert_eq!(classes_of(&mut client).await, [200; 3]);
    lab.no_strike();
}

#[tokio::test]
async fn a_slow_route_takes_no_more_than_its_own_places() {
    let origin = Origin::start(Speaks::First, &Identified::new()).await;
    let mut config = classes(&origin, 100);
    config.routes[0].concurrency = Some(3);
    let lab = Lab::start(config);
    let mut client = lab.h2().await;
    let mut hanging = JoinSet::new();
    hang(&lab, &mut hanging, 3).await;
    in_flight(&lab, 3).await;
    let answer = client.get("/other").await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"));
    assert_eq!(lab.why(answer.header("x-request-id"))["reason"], "route_busy");
    assert_eq!(classes_of(&mut client).await, [200; 3]);
    hanging.abort_all();
    in_flight(&lab, 0).await;
    assert_eq!(client.get("/other").await.status, 200);
}

/// Waits until the proxy has seen that it uses so many in a hundred of its memory.
async fn uses(lab: &Lab, statm: &mut std::fs::File, percent: u64, level: &str) {
    statm.rewind().unwrap();
    writeln!(statm, "1 {percent} 0 1 0 1 0          ").unwrap();
    let seen = async {
        while lab.instance().answer(&Query::Status)["memory"]["level"] != level {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.expect(level);
}

#[tokio::test]
async fn as_memory_grows_scarce_low_routes_give_way_then_normal_ones_then_all() {
    let origin = Origin::start(Speaks::First, &Identified::new()).await;
    let mut config = classes(&origin, 1000);
    config.proxy.memory = 100;
    let mut statm = tempfile::tempfile().unwrap();
    let mut lab = Lab::measured(config, &statm);
    let mut idle = lab.h2().await;
    for (percent, level, served) in [
        (10, "calm", [200, 200, 200]),
        (80, "tight", [503, 200, 200]),
        (90, "scarce", [503, 503, 200]),
        (70, "calm", [200, 200, 200]),
    ] {
        uses(&lab, &mut statm, percent, level).await;
        let mut client = lab.h2().await;
        assert_eq!(classes_of(&mut client).await, served, "{level}");
    }
    assert_eq!(idle.get("/high").await.status, 200);
    lab.no_strike();
}

#[tokio::test]
async fn without_memory_nobody_new_comes_idle_connections_go_and_what_is_under_way_stays() {
    let origin = Origin::start(Speaks::First, &Identified::new()).await;
    let mut config = classes(&origin, 1000);
    config.proxy.memory = 100;
    let mut statm = tempfile::tempfile().unwrap();
    let lab = Lab::measured(config, &statm);
    let (idle, mut under_way) = (lab.h2().await, JoinSet::new());
    hang(&lab, &mut under_way, 1).await;
    in_flight(&lab, 1).await;
    uses(&lab, &mut statm, 100, "full").await;
    tokio::time::timeout(PATIENCE, lab.connected(1)).await.expect("one connection");
    drop(idle);
    let asked = async {
        // The reset may come before the client knows that it is connected.
        let mut stream = tokio::net::TcpStream::connect(lab.address).await?;
        tokio::io::AsyncReadExt::read(&mut stream, &mut [0]).await
    };
    let end = tokio::time::timeout(PATIENCE, asked).await.expect("an end");
    assert!(matches!(end, Err(_) | Ok(0)), "{end:?}");
    in_flight(&lab, 1).await;
    uses(&lab, &mut statm, 10, "calm").await;
    assert_eq!(lab.h2().await.get("/low").await.status, 200);
}
