//! Credentials and limits.

use std::time::Duration;

use gateway_common::Reason;

use super::lab::{Lab, config};
use crate::{
    config::model::{LimitKey, Rate, RouteLimit},
    ipc::message::FromProxy,
    proxy::identity::keys::tests::{KEY, issued},
};

#[tokio::test]
async fn a_key_opens_its_route_and_nothing_else_does() {
    let mut lab = Lab::start(config());
    let mut client = lab.h2().await;
    let guess = KEY.replace("AAA", "AAB");
    for (fields, status, reason) in [
        (&[][..], 401, Reason::CredentialMissing),
        (&[("x-api-key", "hunter2")], 401, Reason::CredentialMalformed),
        (&[("x-api-key", guess.as_str())], 401, Reason::CredentialUnknown),
        (&[("x-api-key", KEY), ("x-api-key", KEY)], 401, Reason::CredentialMalformed),
    ] {
        let answer = client.get_with("/keyed", fields).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("www-authenticate"), "ApiKey header=\"x-api-key\"");
        assert_eq!(lab.strikes(1).await, [reason]);
    }
    let served =
        client.get_with("/keyed", &[("x-api-key", KEY), ("authorization", "Basic x")]).await;
    assert_eq!(served.status, 200);
    let seen = served.json().to_string();
    assert!(!seen.contains("gwk_") && !seen.contains("Basic"), "{seen}");
    let trust = lab.outbox.feedback.recv().await.unwrap();
    assert_eq!(trust, FromProxy::Trust { source: "127.0.0.1".parse().unwrap() });
}

#[tokio::test]
async fn keys_change_while_serving_and_none_loaded_serves_nobody() {
    let lab = Lab::with(config(), None, &[]);
    let mut client = lab.h1().await;
    assert_eq!(client.get_with("/keyed", &[("x-api-key", KEY)]).await.status, 500);
    lab.instance().update_keys(true, false, vec![issued(KEY, "customers", "acme")]);
    assert_eq!(client.get_with("/keyed", &[("x-api-key", KEY)]).await.status, 200);
    let mut revoked = issued(KEY, "customers", "acme");
    revoked.revoked = true;
    lab.instance().update_keys(false, false, vec![revoked]);
    assert_eq!(client.get_with("/keyed", &[("x-api-key", KEY)]).await.status, 401);
    lab.instance().update_keys(true, false, vec![issued(KEY, "partners", "acme")]);
    assert_eq!(client.get_with("/keyed", &[("x-api-key", KEY)]).await.status, 403);
}

#[tokio::test]
async fn a_client_over_its_limit_is_told_when_to_come_back() {
    let mut limited = config();
    let rate = Rate { count: 1, per: Duration::from_mins(1), burst: 3 };
    limited.routes[1].limit = Some(RouteLimit { per: LimitKey::Client, rate });
    let mut lab = Lab::start(limited);
    let mut client = lab.h1().await;
    for left in (0..3).rev() {
        let answer = client.get_with("/keyed", &[("x-api-key", KEY)]).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("ratelimit-policy"), "\"route\";q=3;w=180");
        assert!(answer.header("ratelimit").starts_with(&format!("\"route\";r={left};t=")));
    }
    let over = client.get_with("/keyed", &[("x-api-key", KEY)]).await;
    assert_eq!(over.status, 429);
    let wait: u64 = over.header("retry-after").parse().unwrap();
    assert!((50..=61).contains(&wait), "{wait}");
    assert!(over.header("ratelimit").starts_with("\"route\";r=0;t="));
    assert_eq!(lab.strikes(1).await, [Reason::ClientLimit]);
    assert_eq!(client.get("/public").await.status, 200);
}

#[tokio::test]
async fn a_stranger_over_the_anonymous_limit_is_refused_but_not_a_trusted_proxy() {
    let mut limited = config();
    limited.proxy.anonymous = Rate { count: 1, per: Duration::from_mins(1), burst: 2 };
    let mut lab = Lab::start(limited.clone());
    let mut client = lab.h2().await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(client.get("/").await.status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 429]);
    assert_eq!(lab.strikes(1).await, [Reason::AnonymousLimit]);

    limited.kernel.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let mut lab = Lab::start(limited);
    let mut client = lab.h2().await;
    for _ in 0..4 {
        assert_eq!(client.get("/").await.status, 200);
    }
    assert_eq!(client.get("/keyed").await.status, 401);
    let strike = lab.outbox.feedback.recv().await.unwrap();
    assert!(matches!(strike, FromProxy::Strike { behind_proxy: true, .. }), "{strike:?}");
}

#[tokio::test]
async fn requests_over_the_bound_are_shed() {
    let mut few = config();
    few.proxy.requests = 0;
    let lab = Lab::start(few);
    let answer = lab.h1().await.get("/").await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"));
}
