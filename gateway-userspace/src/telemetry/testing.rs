//! A small configuration and a served request, for the tests of this folder.

use std::time::Duration;

use http::Version;

use super::{RequestRecord, TlsVersion};
use crate::config::{self, model::Config};

/// Two routes, one supplier, one listener, one identity by tokens. The second route has a name no label takes as it is.
pub(super) fn config() -> Config {
    let text = r#"
        [[listener]]
        address = "127.0.0.1:8443"

        [[identity]]
        name = "customers"
        oidc = "https://id.example.net"
        audience = "payments"

        [[supplier]]
        name = "ledger"
        targets = ["https://ledger.example.net"]

        [[route]]
        name = "payments"
        path = "/v1/payments/{id}"
        supplier = "ledger"
        identity = "none"

        [[route]]
        name = "quotes"
        path = "/v1/quotes"
        supplier = "ledger"
        identity = "none"
    "#;
    let mut config = config::load(text, "test").unwrap();
    config.routes[1].name = "quo\"tes\\\n".to_owned();
    config
}

/// A GET of the first route, answered 200 by its supplier.
pub(super) fn record() -> RequestRecord<'static> {
    RequestRecord {
        hits: &[],
        wall_ms: 1_795_438_440_123,
        request_id: "0123456789abcdef0123456789abcdef",
        trace_id: "fedcba9876543210fedcba9876543210",
        peer: "198.51.100.7".parse().unwrap(),
        client: Some("acme"),
        key: Some("abcdefghijkl"),
        route: Some(0),
        method: "GET",
        path: b"/v1/payments/42",
        status: 200,
        reason: None,
        detail: None,
        bytes_in: 0,
        bytes_out: 512,
        duration: Duration::from_micros(1_500),
        supplier_duration: Some(Duration::from_micros(1_200)),
        supplier: Some(0),
        tls_version: Some(TlsVersion::Tls13),
        http_version: Version::HTTP_2,
        listener: 0,
    }
}
