//! One reading of host and path, or none: what can be read two ways goes no further.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gateway_tests::client::{Ask, Version};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{BOTH, House, with_gateway};

#[test]
fn paths_with_two_readings_are_refused() -> Result<()> {
    let change = |settings: &mut gateway_tests::settings::Settings| {
        "threshold = 1000000".clone_into(&mut settings.bans);
    };
    with_gateway("paths_with_two_readings_are_refused", change, |house| {
        for version in BOTH {
            for path in [
                "/echo/../private/x",
                "/private/%2e%2e/echo",
                "/private%2fx",
                "/private/%5cx",
                "/private//x",
                "/private/%00",
                "/private/%zz",
            ] {
                let ask = Ask::get(path).with("x-api-key", &house.key);
                house.refused(version, &ask, 400, "path_invalid").with_context(|| path)?;
            }
            let answer = house.ask(version, &house.authorized("/private/a%20b?q=%2f..%2f"))?;
            assert_eq!(answer.status, 200);
            ensure!(answer.json()?["path"] == "/private/a%20b");
            ensure!(answer.json()?["query"] == "q=%2f..%2f");
        }
        Ok(())
    })
}

#[test]
fn requests_that_do_not_parse_are_refused_and_counted() -> Result<()> {
    let change = |settings: &mut gateway_tests::settings::Settings| {
        "threshold = 1000000".clone_into(&mut settings.bans);
    };
    with_gateway("requests_that_do_not_parse_are_refused_and_counted", change, |house| {
        for (bytes, status, reason) in [
            ("GET /echo HTTP/1.1\r\n\r\n", "400", "host_invalid"),
            ("GET /echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400", "host_invalid"),
            ("GET /echo HTTP/9.9\r\nHost: a\r\n\r\n", "505", "version_unsupported"),
            ("\u{1}\u{2}\u{3}\r\n\r\n", "400", "head_malformed"),
        ] {
            let before = house.refusals(reason)?;
            let answer = raw(house, bytes.as_bytes())?;
            let line = answer.lines().next().unwrap_or_default().to_owned();
            ensure!(line.contains(status), "{bytes:?}: {answer:?}");
            ensure!(house.refusals(reason)? == before + 1, "{bytes:?} not counted as {reason}");
        }
        let huge = format!("GET /echo HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(70_000));
        let answer = raw(house, huge.as_bytes())?;
        ensure!(answer.starts_with("HTTP/1.1 431"), "{answer:?}");
        Ok(())
    })
}

/// The head that comes back to these bytes over TLS, or all there is until the server closes.
fn raw(house: &House<'_>, bytes: &[u8]) -> Result<String> {
    let client = house.client(Version::Http1)?;
    house.lab.outside.block_on(|| async {
        let mut stream = client.handshake().await?;
        // The server may refuse and close before it has read all.
        stream.write_all(bytes).await.ok();
        let mut answer = Vec::new();
        timeout(Duration::from_secs(15), read_head(&mut stream, &mut answer)).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    })
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin), answer: &mut Vec<u8>) {
    let ended = |answer: &[u8]| answer.windows(4).any(|window| window == b"\r\n\r\n");
    while !ended(answer) {
        match stream.read_buf(answer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}
