//! Cross-origin requests as a browser sends them.

use std::time::Duration;

use http::Method;

use super::{
    client::{Answer, Client, full},
    lab::{Lab, config},
    origin::Bytewise,
};
use crate::{
    config::model::{Config, Cors, Pattern},
    proxy::testing,
};

const APP: &str = "https://app.example.com";

fn cors(origins: &[&str]) -> Cors {
    Cors {
        anyone: false,
        origins: origins.iter().map(|origin| Pattern::read(origin).unwrap()).collect(),
        methods: vec![Method::GET, Method::PUT],
        headers: vec!["x-api-key".parse().unwrap()],
        expose: vec!["ratelimit".parse().unwrap()],
        credentials: true,
        max_age: Duration::from_mins(5),
        private_network: false,
    }
}

/// The open route has none, the guarded one has these.
fn ruled(cors: Cors) -> Config {
    let mut config = config();
    config.routes[1].cors = Some(cors);
    config
}

async fn preflight(client: &mut Client, path: &str, origin: &str) -> Answer {
    let request = client
        .request(Method::OPTIONS, path)
        .header("origin", origin)
        .header("access-control-request-method", "PUT")
        .header("access-control-request-headers", "x-api-key")
        .header("access-control-request-private-network", "true");
    client.send(request.body(full("")).unwrap()).await
}

#[tokio::test]
async fn a_preflight_is_answered_before_authentication_and_only_for_who_is_meant() {
    let mut lab = Lab::start(ruled(cors(&[APP, "https://*.example.net"])));
    for mut client in [lab.h1().await, lab.h2().await] {
        for origin in [APP, "https://a.b.example.net"] {
            let answer = preflight(&mut client, "/keyed", origin).await;
            assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
            for (name, value) in [
                ("access-control-allow-origin", origin),
                ("access-control-allow-methods", "GET, PUT"),
                ("access-control-allow-headers", "x-api-key"),
                ("access-control-allow-credentials", "true"),
                ("access-control-max-age", "300"),
                ("access-control-allow-private-network", ""),
            ] {
                assert_eq!(answer.header(name), value, "{name}");
            }
            let vary: Vec<_> = answer.headers.get_all("vary").iter().collect();
            assert!(vary.contains(&&"Origin".parse().unwrap()), "{vary:?}");
        }
        for origin in ["https://evil-example.com", "https://example.net", "null", "https://x"] {
            let answer = preflight(&mut client, "/keyed", origin).await;
            assert_eq!(answer.status, 403, "{origin}");
            assert_eq!(answer.header("access-control-allow-origin"), "");
            assert_eq!(answer.header("vary"), "Origin");
        }
        // A route without rules leaves preflights to its supplier.
        assert_eq!(preflight(&mut client, "/open", APP).await.status, 200);
    }
    // The page that asked for it is not the visitor's doing.
    lab.no_strike();
}

#[tokio::test]
async fn answers_and_refusals_say_who_may_read_them() {
    let lab = Lab::start(ruled(cors(&[APP])));
    let mut client = lab.h2().await;
    let refused = client.get_with("/keyed", &[("origin", APP)]).await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.header("access-control-allow-origin"), APP);
    assert_eq!(refused.header("access-control-expose-headers"), "ratelimit");
    for fields in [&[][..], &[("origin", "https://evil.example")]] {
        let answer = client.get_with("/keyed", fields).await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{fields:?}");
        assert_eq!(answer.header("access-control-allow-credentials"), "");
        assert_eq!(answer.header("vary"), "Origin");
    }
    // Of two nobody knows which counts: refused before any route, so to nobody's eyes.
    let twice = client.get_with("/keyed", &[("origin", APP), ("origin", APP)]).await;
    assert_eq!(twice.status, 400);
    assert_eq!(twice.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn what_the_supplier_says_of_origins_is_replaced() {
    let lax = Bytewise::start(
        "HTTP/1.1 200 OK\r\naccess-control-allow-origin: *\r\n\
         access-control-allow-origin: https://evil.example\r\nvary: accept, ORIGIN\r\n\
         access-control-allow-credentials: true\r\ncontent-length: 2\r\n\r\nok",
    )
    .await;
    let mut open = cors(&[APP]);
    open.credentials = false;
    let mut config = config();
    config.suppliers = vec![testing::supplier("echo", lax.kind())];
    config.routes[0].cors = Some(open);
    let lab = Lab::start(config);
    let mut client = lab.h1().await;
    for (origin, told) in [(APP, APP), ("https://evil.example", "")] {
        let answer = client.get_with("/", &[("origin", origin)]).await;
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"ok"[..]));
        let all: Vec<_> = answer.headers.get_all("access-control-allow-origin").iter().collect();
        assert!(all.len() <= 1, "{all:?}");
        assert_eq!(answer.header("access-control-allow-origin"), told);
        assert_eq!(answer.header("access-control-allow-credentials"), "");
        assert_eq!(answer.headers.get_all("vary").iter().collect::<Vec<_>>(), ["accept, ORIGIN"]);
    }
}

#[tokio::test]
async fn everybody_may_read_what_is_written_so_and_a_private_network_is_named() {
    let mut anyone = cors(&[]);
    (anyone.anyone, anyone.credentials) = (true, false);
    let lab = Lab::start(ruled(anyone));
    let answer = preflight(&mut lab.h2().await, "/keyed", "https://any.example").await;
    assert_eq!(answer.header("access-control-allow-origin"), "*");

    let mut private = cors(&[APP]);
    private.private_network = true;
    let lab = Lab::start(ruled(private));
    let answer = preflight(&mut lab.h2().await, "/keyed", APP).await;
    assert_eq!(answer.header("access-control-allow-private-network"), "true");
}
