//! Each request can be found again: by its id, in the log, in the counters, in a trace.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use gateway_tests::{client::Ask, origin::echoed, wait::until};
use serde_json::Value;

use super::{BOTH, House, with_gateway};

/// Plain HTTP to the admin listener, from inside the gateway's namespace.
pub(super) fn fetch(house: &House<'_>, path: &str) -> Result<String> {
    house.lab.inside.run(|| {
        let mut stream = TcpStream::connect("127.0.0.1:9100").context("dialling the admin")?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let head = format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    })
}

#[test]
fn access_log_has_every_request_and_no_secret() -> Result<()> {
    with_gateway(
        "access_log_has_every_request_and_no_secret",
        |_| {},
        |house| {
            for version in BOTH {
                let served =
                    house.ask(version, &house.authorized("/private/x?card=4111111111111111"))?;
                let refused = house.ask(version, &Ask::get("/private/y"))?;
                for (answer, status, reason) in
                    [(served, 200, None), (refused, 401, Some("credential_missing"))]
                {
                    let line = line_of(house, answer.header("x-request-id"))?;
                    ensure!(line["status"] == status, "{line}");
                    ensure!(line["reason"].as_str() == reason, "{line}");
                    ensure!(line["method"] == "GET", "{line}");
                }
            }
            let log = fs::read_to_string(&house.gateway.folders.access_log)?;
            ensure!(!log.contains(&house.key), "the key is in the access log");
            ensure!(!log.contains("4111111111111111"), "a query value is in the access log");
            ensure!(!house.gateway.folders.log().contains(&house.key), "the key is in the log");
            Ok(())
        },
    )
}

/// The access log's line of a request.
fn line_of(house: &House<'_>, id: &str) -> Result<Value> {
    ensure!(!id.is_empty(), "no request id");
    let find = || {
        let log = fs::read_to_string(&house.gateway.folders.access_log).ok()?;
        let line = log.lines().find(|line| line.contains(id))?;
        serde_json::from_str(line).ok()
    };
    until("a log line", Duration::from_secs(5), find)
}

#[test]
fn refusals_are_explained_by_id_and_by_address() -> Result<()> {
    with_gateway(
        "refusals_are_explained_by_id_and_by_address",
        |_| {},
        |house| {
            let [version, _] = BOTH;
            let answer = house.ask(version, &Ask::get("/private/x"))?;
            let said = house.gateway.must(&["why", answer.header("x-request-id")])?;
            ensure!(said.contains("credential_missing"), "{said}");
            let said = house.gateway.must(&["why", &gateway_tests::lab::HONEST.to_string()])?;
            ensure!(said.contains("credential_missing"), "{said}");
            Ok(())
        },
    )
}

#[test]
fn traces_are_continued_and_metrics_counted() -> Result<()> {
    with_gateway(
        "traces_are_continued_and_metrics_counted",
        |_| {},
        |house| {
            let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
            for version in BOTH {
                let parent = format!("00-{trace}-00f067aa0ba902b7-01");
                let seen =
                    house.ask(version, &Ask::get("/echo").with("traceparent", &parent))?.json()?;
                let passed = echoed(&seen, "traceparent").concat();
                ensure!(passed.contains(trace) && passed != parent, "{passed}");
                let forged = Ask::get("/echo").with("traceparent", "00-zz-yy-01");
                let seen = house.ask(version, &forged)?.json()?;
                ensure!(echoed(&seen, "traceparent").concat().len() == 55, "{seen}");
            }
            let metrics = house.metrics()?;
            ensure!(metrics.contains("gateway_requests_total{"), "{metrics}");
            ensure!(metrics.contains("# EOF") || metrics.contains("# TYPE"), "{metrics}");
            fetch(house, "/healthz")?;
            Ok(())
        },
    )
}
