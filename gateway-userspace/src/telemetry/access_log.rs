//! The access log: one JSON line a request, written by a thread of its own. A slow disk never
//! slows a request: lines that do not fit the queue are dropped and counted. No query, no field
//! value and no credential is ever in a line.

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, BufWriter, Write as _},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use http::Version;

use super::{Report, metrics::Metrics};
use crate::clock;

/// The queue's sending end.
#[derive(Debug)]
pub(crate) struct AccessLog {
    queue: SyncSender<String>,
    metrics: Arc<Metrics>,
}

impl AccessLog {
    /// Starts the writer, which ends after the last sender is gone.
    pub(crate) fn start(
        file: File,
        lines: u32,
        metrics: Arc<Metrics>,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let (queue, waiting) = sync_channel(lines.max(1) as usize);
        let counts = Arc::clone(&metrics);
        let writer = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write_all(file, &waiting, &counts))?;
        Ok((Self { queue, metrics }, writer))
    }

    pub(super) fn write(&self, report: &Report<'_>) {
        let line = line(report, clock::wall_millis());
        if self.queue.try_send(line).is_err() {
            self.metrics.log_dropped.add(1);
        }
    }
}

fn write_all(file: File, waiting: &Receiver<String>, metrics: &Metrics) {
    let mut out = BufWriter::with_capacity(64 * 1024, file);
    while let Ok(line) = waiting.recv() {
        let mut failed = u64::from(out.write_all(line.as_bytes()).is_err());
        // Whatever else waits goes out with the same write.
        while let Ok(line) = waiting.try_recv() {
            failed += u64::from(out.write_all(line.as_bytes()).is_err());
        }
        failed += u64::from(out.flush().is_err());
        metrics.log_failed.add(failed);
    }
}

fn line(report: &Report<'_>, at_millis: u64) -> String {
    let mut line = String::with_capacity(512);
    line.push_str(r#"{"time":""#);
    time(&mut line, at_millis);
    line.push('"');
    let route = report.route.map_or("", |(_, name)| name);
    let reason = report.reason.map_or("", gateway_common::Reason::name);
    for (name, value) in [
        ("request_id", report.request_id),
        ("trace_id", report.trace_id),
        ("client", report.client),
        ("key", report.key),
        ("route", route),
        ("method", report.method.as_str()),
        ("host", report.host),
        ("path", report.path),
        ("reason", reason),
        ("tls", report.tls),
        ("http", version(report.version)),
    ] {
        text(&mut line, name, value);
    }
    let micros = |duration: std::time::Duration| duration.as_micros();
    // Writing to a string does not fail.
    let written = write!(
        line,
        r#","address":"{}","port":{},"status":{},"bytes_in":{},"bytes_out":{},"micros":{}"#,
        report.source,
        report.port,
        report.status,
        report.bytes_in,
        report.bytes_out,
        micros(report.total),
    );
    if written.is_ok()
        && let Some(supplier) = report.supplier
    {
        line.push_str(r#","supplier_micros":"#);
        line.push_str(&micros(supplier).to_string());
    }
    line.push_str("}\n");
    line
}

/// A member, unless it is empty. Strangers choose some of these: only printable ASCII stays.
fn text(line: &mut String, name: &str, value: &str) {
    if value.is_empty() {
        return;
    }
    line.push_str(",\"");
    line.push_str(name);
    line.push_str("\":\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => {
                line.push('\\');
                line.push(c);
            }
            ' '..='~' => line.push(c),
            _ => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    if write!(line, "\\u{unit:04x}").is_err() {
                        return;
                    }
                }
            }
        }
    }
    line.push('"');
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_11 => "1.1",
        Version::HTTP_2 => "2",
        _ => "",
    }
}

/// RFC 3339 in UTC, by the proleptic Gregorian calendar: days are counted from 0000-03-01, so that
/// the leap day ends a year.
fn time(line: &mut String, millis: u64) {
    let (seconds, millis) = (millis / 1000, millis % 1000);
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let (month, carry) = if shifted < 10 { (shifted + 3, 0) } else { (shifted - 9, 1) };
    let (year, day) = (era * 400 + year + carry, of_year - (153 * shifted + 2) / 5 + 1);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let written = write!(
        line,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"
    );
    debug_assert!(written.is_ok(), "writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gateway_common::Reason;
    use http::Method;
    use proptest::prelude::*;

    use super::*;

    fn report<'a>(path: &'a str, method: &'a Method) -> Report<'a> {
        Report {
            request_id: "0123",
            trace_id: "4567",
            source: "2001:db8::1".parse().unwrap(),
            port: 4711,
            client: "",
            key: "",
            route: Some((0, "pay")),
            method,
            host: "a.example",
            path,
            status: 404,
            reason: Some(Reason::RouteUnknown),
            bytes_in: 0,
            bytes_out: 12,
            total: Duration::from_micros(345),
            supplier: None,
            tls: "TLSv1.3",
            version: Version::HTTP_2,
        }
    }

    #[test]
    fn writes_one_json_object_a_line() {
        let line = line(&report("/a", &Method::GET), 1_700_000_000_123);
        assert!(line.ends_with("}\n") && line.matches('\n').count() == 1);
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(json["time"], "2023-11-14T22:13:20.123Z");
        assert_eq!(json["reason"], "route_unknown");
        assert_eq!(json["status"], 404);
        assert_eq!(json["micros"], 345);
        assert!(json.get("client").is_none());
    }

    #[test]
    fn knows_leap_days_and_the_ends_of_years() {
        let at = |seconds: u64| {
            let mut line = String::new();
            time(&mut line, seconds * 1000);
            line
        };
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(1_709_164_800), "2024-02-29T00:00:00.000Z");
        assert_eq!(at(1_735_689_599), "2024-12-31T23:59:59.000Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn drops_and_counts_when_the_disk_is_behind() {
        let metrics = Arc::new(Metrics::new(&[], &[]));
        let (queue, waiting) = sync_channel(1);
        let log = AccessLog { queue, metrics: Arc::clone(&metrics) };
        for _ in 0..3 {
            log.write(&report("/a", &Method::GET));
        }
        assert_eq!(metrics.log_dropped.get(), 2);
        drop(waiting);
    }

    proptest! {
        #[test]
        fn no_path_breaks_out_of_its_line(path in any::<String>()) {
            let line = line(&report(&path, &Method::GET), 0);
            prop_assert!(line.trim_end().bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            let json: serde_json::Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(json.get("path").and_then(|path| path.as_str()).unwrap_or(""), path);
        }
    }
}
