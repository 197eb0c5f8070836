//! Refusals of gRPC calls.

use gateway_common::Reason;
use http::Method;

use super::{
    client::full,
    lab::{Lab, config},
};
use crate::config::model::{LimitKey, Rate, RouteLimit};

#[tokio::test]
async fn a_refused_call_reads_a_grpc_status_and_an_ordinary_request_a_problem() {
    let mut limited = config();
    limited.routes[0].path = "/open".to_owned();
    let rate = Rate { count: 1, per: std::time::Duration::from_hours(1), burst: 1 };
    limited.routes[0].limit = Some(RouteLimit { per: LimitKey::Address, rate });
    let mut lab = Lab::start(limited);
    let mut client = lab.h2().await;
    assert_eq!(client.get("/open").await.status, 200);
    for (path, code, reason) in [
        ("/keyed", "16", Reason::CredentialMissing),
        ("/nowhere", "12", Reason::RouteUnknown),
        ("/open", "8", Reason::ClientLimit),
    ] {
        let call =
            client.request(Method::POST, path).header("content-type", "application/grpc+proto");
        let answer = client.send(call.body(full("\0\0\0\0\0")).unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0), "{path}");
        assert_eq!(answer.header("grpc-status"), code, "{path}");
        assert_eq!(answer.header("grpc-message"), reason.info().title);
        assert_eq!(answer.header("content-type"), "application/grpc");
        assert_eq!(answer.trailers, None);
        assert_eq!(lab.strikes(1).await, [reason]);
        assert_eq!(lab.why(answer.header("x-request-id"))["reason"], reason.name());
    }
    let answer = client.get("/nowhere").await;
    assert_eq!((answer.status.as_u16(), answer.header("grpc-status")), (404, ""));
}
