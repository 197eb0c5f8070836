//! Real descriptors: files, pipes nobody reads, and a disk that is always full.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, Write},
    os::fd::OwnedFd,
};

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::telemetry::testing::{config, record};

const SOON: Duration = Duration::from_secs(10);

fn log_to(file: impl Into<OwnedFd>, queue: u32) -> (AccessLog, Arc<Metrics>) {
    let metrics = Metrics::new(&config());
    let log = AccessLog::start(Some(file.into()), queue, Arc::clone(&metrics)).unwrap();
    (log, metrics)
}

fn counted(metrics: &Metrics, outcome: &str) -> u64 {
    let lead = format!("gateway_access_log_lines_total{{outcome=\"{outcome}\"}} ");
    let text = metrics.expose(None);
    text.lines().find_map(|line| line.strip_prefix(&lead)).unwrap().parse().unwrap()
}

fn lines_of(mut file: File) -> Vec<Value> {
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_line_is_one_object_with_all_fields() {
    let file = tempfile::tempfile().unwrap();
    let (log, metrics) = log_to(file.try_clone().unwrap(), 64);
    let mut refused = record();
    refused.path = b"/v1/x?card=4111111111111111&token=secret";
    refused.reason = Some(gateway_common::Reason::CredentialMalformed);
    refused.detail = Some("two credentials");
    refused.status = 401;
    (refused.route, refused.supplier, refused.supplier_duration) = (None, None, None);
    (refused.client, refused.key, refused.tls_version) = (None, None, None);
    log.write(&record());
    log.write(&refused);
    assert!(log.close(SOON));

    insta::assert_json_snapshot!(lines_of(file));
    assert_eq!(counted(&metrics, "written"), 2);
}

#[test]
fn lines_after_closing_are_dropped_and_counted() {
    let file = tempfile::tempfile().unwrap();
    let (log, metrics) = log_to(file.try_clone().unwrap(), 4096);
    let second = log.clone();
    for _ in 0..1000 {
        log.write(&record());
    }
    assert!(log.close(SOON));
    second.write(&record());
    assert!(second.close(SOON));
    assert_eq!(lines_of(file).len(), 1000);
    assert_eq!((counted(&metrics, "written"), counted(&metrics, "dropped")), (1000, 1));
}

#[test]
fn a_pipe_nobody_reads_drops_lines_and_holds_no_caller() {
    let (reader, mut writer) = io::pipe().unwrap();
    // Fills a pipe; to JSON it is blank space before the first object.
    writer.write_all(&vec![b' '; 64 * 1024]).unwrap();
    let (log, metrics) = log_to(OwnedFd::from(writer), 16);
    for _ in 0..2000 {
        log.write(&record());
    }
    assert!(!log.close(Duration::from_millis(20)));
    assert!(counted(&metrics, "dropped") > 0);

    // Read to the end, everything that was not dropped arrives whole.
    drop(log);
    let text = io::read_to_string(reader).unwrap();
    assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
    assert_eq!(text.lines().count() as u64 + counted(&metrics, "dropped"), 2000);
}

#[test]
fn a_pipe_without_a_reader_and_a_full_disk_are_counted_and_not_fatal() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    for broken in [OwnedFd::from(writer), OwnedFd::from(full)] {
        let (log, metrics) = log_to(broken, 64);
        for _ in 0..10 {
            log.write(&record());
        }
        assert!(log.close(SOON));
        assert_eq!((counted(&metrics, "failed"), counted(&metrics, "written")), (10, 0));
    }
}

#[test]
fn a_log_that_is_off_takes_and_counts_nothing() {
    let metrics = Metrics::new(&config());
    let log = AccessLog::start(None, 64, Arc::clone(&metrics)).unwrap();
    log.write(&record());
    assert!(log.close(Duration::ZERO));
    assert_eq!((counted(&metrics, "written"), counted(&metrics, "dropped")), (0, 0));
}

/// Takes a number of bytes, then fails once, then takes everything.
struct FailsOnce {
    room: usize,
    failed: bool,
    taken: Vec<u8>,
}

impl Write for &mut FailsOnce {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = if self.failed { bytes.len() } else { bytes.len().min(self.room) };
        if count == 0 {
            self.failed = true;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.room = self.room.saturating_sub(count);
        self.taken.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

proptest! {
    #[test]
    fn a_line_torn_by_a_full_disk_does_not_spoil_the_next(room in 0usize..23) {
        // A line that lacks only its end counts as failed, but the next batch ends it.
        prop_assume!(![10, 22].contains(&room));
        let mut disk = FailsOnce { room, failed: false, taken: Vec::new() };
        let metrics = Metrics::new(&config());
        let state = State { metrics: Arc::clone(&metrics), closing: AtomicBool::new(false) };
        let mut writer = Writer::new(&mut disk, Arc::new(state), 1);
        for line in ["first line\n", "second line\n", "third line\n"] {
            writer.take(Message::Line(line.as_bytes().to_vec()));
            writer.flush();
        }
        let text = String::from_utf8(disk.taken).unwrap();
        prop_assert!(text.ends_with("\nthird line\n"));
        let whole = text.lines().filter(|line| line.ends_with(" line")).count() as u64;
        prop_assert_eq!(counted(&metrics, "written"), whole);
        prop_assert_eq!(counted(&metrics, "failed"), 3 - whole);
    }

    #[test]
    fn whatever_a_stranger_sends_is_one_line_without_card_or_key(
        method in "\\PC{0,40}",
        path in proptest::collection::vec(any::<u8>(), 0..200),
        detail in "\\PC{0,40}",
        card in proptest::sample::select(vec!["4111111111111111", "378282246310005", "5555-5555-5555-4444"]),
        at in any::<proptest::sample::Index>(),
    ) {
        let key = "gwk_abcdefghijkl_0123456789abcdefghijABCDEFGHIJ0123456789abc";
        let mut sent = path.clone();
        sent.splice(at.index(path.len() + 1)..at.index(path.len() + 1), format!("/{card}/{key}/").into_bytes());
        let detail = format!("{detail} {card} {key}");
        let mut record = record();
        (record.method, record.path, record.detail) = (&method, &sent, Some(detail.as_str()));
        let metrics = Metrics::new(&config());
        let line = String::from_utf8(Line::new(&record, &metrics).to_bytes()).unwrap();

        prop_assert_eq!(line.matches('\n').count(), 1);
        prop_assert!(!line.chars().any(|character| character.is_control() && character != '\n'));
        prop_assert!(!line.contains(card) && !line.contains("ABCDEFGHIJ0123456789"));
        prop_assert!(serde_json::from_str::<Value>(&line).unwrap().is_object());
    }
}

#[test]
fn the_document_names_exactly_the_fields_of_a_line() {
    let document = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/access-log.md"));
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `"));
    let documented: Vec<&str> = rows.filter_map(|row| row.split('`').next()).collect();
    let metrics = Metrics::new(&config());
    let line = String::from_utf8(Line::new(&record(), &metrics).to_bytes()).unwrap();
    // In the order of the line itself: no value of this record holds a `":`.
    let written: Vec<&str> = line.split("\":").filter_map(|part| part.rsplit('"').next()).collect();
    assert_eq!(written[..written.len() - 1], documented);
}
