//! The built-in echo.

use super::*;

async fn lab() -> Lab {
    let mut echo = supplier(Vec::new());
    echo.kind = SupplierKind::Echo;
    Lab::new(&[echo]).await
}

async fn echoed(request: Request<Option<OutboundBody>>) -> Value {
    let response = lab().await.send(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json");
    serde_json::from_str(&text(response).await).unwrap()
}

#[test]
fn shows_the_request_as_a_supplier_would_see_it() {
    on_worker(async {
        let mut request = request(Method::PUT, "/a/b?c=d", full("\"text\" and \u{1f600}"));
        request.headers_mut().append("x-two", "1".parse().unwrap());
        request.headers_mut().append("x-two", "2".parse().unwrap());
        request.headers_mut().insert("authorization", "Bearer secret".parse().unwrap());
        let echoed = echoed(request).await;
        assert_eq!(echoed["method"], "PUT");
        assert_eq!((&echoed["path"], &echoed["query"]), (&"/a/b".into(), &"c=d".into()));
        assert_eq!(echoed["body"], "\"text\" and \u{1f600}");
        assert_eq!(echoed["body_bytes"], 15);
        assert_eq!(echoed["headers"]["x-two"], "1, 2");
        assert!(!echoed.to_string().contains("secret"));
    });
}

#[test]
fn keeps_no_more_of_a_body_than_it_shows() {
    on_worker(async {
        let parts =
            stream::iter((0..64).map(|_| Ok(Frame::data(Bytes::from(vec![b'x'; 1 << 16])))));
        let body: AnyBody = BodyExt::boxed_unsync(StreamBody::new(parts));
        let echoed = echoed(request(Method::POST, "/", body)).await;
        assert_eq!(echoed["body_bytes"], 64 << 16);
        assert_eq!(echoed["body"].as_str().unwrap().len(), 64 << 10);
        assert_eq!(echoed["body_truncated"], true);
    });
}

#[test]
fn a_body_that_never_ends_ends_at_the_deadline() {
    on_worker(async {
        let (_feed, body) = fed();
        let request = request(Method::POST, "/", body);
        let error = lab().await.upstreams.send(0, request, clock::now() + STALL).await.unwrap_err();
        assert_eq!(error.reason(), Reason::BodyTimeout);
    });
}
