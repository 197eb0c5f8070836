//! What a scraper reads: always valid, always as documented, never grown by strangers.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::Duration,
};

use proptest::prelude::*;

use super::*;
use crate::{
    ipc::message::{GuardMetric, ReasonCount},
    telemetry::{
        exposition::{parse, value},
        guard_metrics,
        testing::{config, record},
    },
};

const DOCUMENT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md"));

fn guard_metric(name: &str, label: &str, value: u64) -> GuardMetric {
    GuardMetric { name: name.to_owned(), label: label.to_owned(), value }
}

fn report() -> KernelReport {
    KernelReport {
        reasons: vec![
            ReasonCount { reason: 10, packets: 7, bytes: 420, shadow_packets: 2 },
            ReasonCount { reason: 63, packets: 1, bytes: 60, shadow_packets: 0 },
        ],
        interfaces: vec![(
            "eth0".to_owned(),
            vec![ReasonCount { reason: 10, packets: 7, bytes: 420, shadow_packets: 2 }],
        )],
        guard: vec![guard_metric("bans", "strike", 3), guard_metric("ban_refusals_total", "", 1)],
    }
}

#[test]
fn a_request_counts_under_its_route_method_and_class() {
    let metrics = Metrics::new(&config());
    metrics.request(&record());
    let text = metrics.expose(None);
    let series = r#"gateway_requests_total{route="payments",method="GET",status_class="2xx"}"#;
    assert_eq!(value(&text, series), Some(1.0));
    let series = r#"gateway_supplier_requests_total{supplier="ledger",outcome="answered"}"#;
    assert_eq!(value(&text, series), Some(1.0));
    let bucket = |bound| {
        let route = r#"route="payments""#;
        value(&text, &format!("gateway_request_duration_seconds_bucket{{le=\"{bound}\",{route}}}"))
    };
    assert_eq!(
        (bucket("0.001"), bucket("0.0025"), bucket("+Inf")),
        (Some(0.0), Some(1.0), Some(1.0))
    );
    let sum = value(&text, r#"gateway_request_duration_seconds_sum{route="payments"}"#);
    assert_eq!(sum, Some(0.0015));
}

#[test]
fn what_has_no_route_an_odd_method_or_no_answer_has_a_label_all_the_same() {
    let metrics = Metrics::new(&config());
    let mut odd = record();
    (odd.route, odd.supplier, odd.method, odd.status) = (None, None, "BREW", 0);
    odd.reason = Some(Reason::ClientGone);
    metrics.request(&odd);
    odd.route = Some(99);
    metrics.request(&odd);
    let text = metrics.expose(None);
    let series = r#"gateway_requests_total{route="none",method="other",status_class="none"}"#;
    assert_eq!(value(&text, series), Some(2.0));
    assert_eq!(value(&text, r#"gateway_refusals_total{reason="client_gone"}"#), Some(2.0));
}

#[test]
fn a_refusal_counts_once_and_tells_the_suppliers_fault() {
    let metrics = Metrics::new(&config());
    let mut refused = record();
    (refused.status, refused.reason) = (504, Some(Reason::SupplierTimeout));
    metrics.request(&refused);
    metrics.refusal(Reason::TlsHandshake);
    let text = metrics.expose(None);
    assert_eq!(value(&text, r#"gateway_refusals_total{reason="supplier_timeout"}"#), Some(1.0));
    assert_eq!(value(&text, r#"gateway_refusals_total{reason="tls_handshake"}"#), Some(1.0));
    let series = r#"gateway_supplier_requests_total{supplier="ledger",outcome="timeout"}"#;
    assert_eq!(value(&text, series), Some(1.0));
}

#[test]
fn every_outcome_counts_under_its_own_name() {
    let metrics = Metrics::new(&config());
    let outcomes = [
        (200, None, "answered"),
        (503, None, "server_error"),
        (502, Some(Reason::SupplierUnreachable), "unreachable"),
        (504, Some(Reason::SupplierTimeout), "timeout"),
        (502, Some(Reason::SupplierMalformed), "malformed"),
        (503, Some(Reason::SupplierBusy), "busy"),
        (413, Some(Reason::BodyTooLarge), "aborted"),
    ];
    for (status, reason, outcome) in outcomes {
        let mut request = record();
        (request.status, request.reason) = (status, reason);
        metrics.request(&request);
        let series = format!("supplier=\"ledger\",outcome=\"{outcome}\"");
        let series = format!("gateway_supplier_requests_total{{{series}}}");
        assert_eq!(value(&metrics.expose(None), &series), Some(1.0), "{outcome}");
    }
    metrics.strike(StrikeOutcome::Dropped);
    metrics.tls_handshake(TlsVersion::Tls13);
    metrics.access_log_lines(LineOutcome::Failed, 3);
    metrics.limiter_full();
    metrics.left_unpacked();
    let text = metrics.expose(None);
    assert_eq!(value(&text, r#"gateway_strikes_total{outcome="dropped"}"#), Some(1.0));
    assert_eq!(value(&text, r#"gateway_tls_handshakes_total{version="1.3"}"#), Some(1.0));
    assert_eq!(value(&text, r#"gateway_access_log_lines_total{outcome="failed"}"#), Some(3.0));
    assert_eq!(value(&text, "gateway_limiter_full_total"), Some(1.0));
    assert_eq!(value(&text, "gateway_left_unpacked_total"), Some(1.0));
}

#[test]
fn gauges_follow_and_never_fall_below_zero() {
    let metrics = Metrics::new(&config());
    metrics.connection_opened(0);
    metrics.connection_opened(0);
    metrics.connection_closed();
    metrics.request_ended();
    metrics.limiter_keys(Limiter::Route(0), 5);
    metrics.limiter_keys(Limiter::Anonymous, 9);
    let text = metrics.expose(None);
    assert_eq!((metrics.connections(), metrics.requests_in_flight()), (1, 0));
    assert_eq!(value(&text, "gateway_connections"), Some(1.0));
    assert_eq!(value(&text, "gateway_requests_in_flight"), Some(0.0));
    assert_eq!(value(&text, r#"gateway_limiter_keys{limiter="route:payments"}"#), Some(5.0));
    assert_eq!(value(&text, r#"gateway_limiter_keys{limiter="anonymous"}"#), Some(9.0));
}

#[test]
fn workers_adding_at_once_lose_nothing() {
    let metrics = Metrics::new(&config());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..1000).for_each(|_| metrics.request(&record())));
        }
    });
    let count = r#"gateway_request_duration_seconds_count{route="payments"}"#;
    assert_eq!(value(&metrics.expose(None), count), Some(4000.0));
}

#[test]
fn the_kernel_is_up_only_with_a_report() {
    let metrics = Metrics::new(&config());
    assert_eq!(value(&metrics.expose(None), "gateway_kernel_up"), Some(0.0));
    let text = metrics.expose(Some(&report()));
    assert_eq!(value(&text, "gateway_kernel_up"), Some(1.0));
    assert_eq!(value(&text, r#"gateway_kernel_packets_total{reason="ban_host"}"#), Some(7.0));
    assert_eq!(value(&text, r#"gateway_kernel_packets_total{reason="unknown_63"}"#), Some(1.0));
    assert_eq!(
        value(&text, r#"gateway_kernel_shadow_packets_total{reason="ban_host"}"#),
        Some(2.0)
    );
    assert_eq!(value(&text, r#"gateway_guard_bans{kind="strike"}"#), Some(3.0));
    assert_eq!(value(&text, "gateway_guard_ban_refusals_total"), Some(1.0));
}

#[test]
fn names_that_are_equal_or_need_escapes_do_not_spoil_the_text() {
    let mut config = config();
    config.routes.push(config.routes[0].clone());
    config.routes.push(config.routes[0].clone());
    config.routes[3].name = "none".to_owned();
    let metrics = Metrics::new(&config);
    for route in [Some(0), Some(1), Some(2), Some(3), None] {
        let mut request = record();
        request.route = route;
        metrics.request(&request);
    }
    let text = metrics.expose(None);
    let count = |route: &str| {
        value(&text, &format!("gateway_request_duration_seconds_count{{route=\"{route}\"}}"))
    };
    assert_eq!(count("payments"), Some(2.0));
    assert_eq!(count("none"), Some(2.0));
    assert_eq!(count(r#"quo\"tes\\\n"#), Some(1.0));
}

/// `name -> (type, labels)` of every row of a table in the document.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let rows = DOCUMENT
        .lines()
        .filter(|line| line.starts_with("| `gateway_") || line.starts_with("| `process_"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let labels = cells[3].split('`').skip(1).step_by(2).map(str::to_owned).collect();
        assert!(cells[4].ends_with('.'), "says what it means: {row}");
        (cells[1].trim_matches('`').to_owned(), (cells[2].to_owned(), labels))
    })
    .collect()
}

/// A report with every number of the guard that is documented, with a label where it has one.
fn full_report(documented: &BTreeMap<String, (String, BTreeSet<String>)>) -> KernelReport {
    let label = |name: &str| match documented.get(&format!("gateway_guard_{name}")) {
        Some((_, labels)) if !labels.is_empty() => "one",
        _ => "",
    };
    let guard = guard_metrics::names().map(|name| guard_metric(name, label(name), 1)).collect();
    KernelReport { guard, ..report() }
}

#[test]
fn the_document_names_exactly_what_is_exposed() {
    let documented = documented();
    let metrics = Metrics::new(&config());
    metrics.request(&record());
    let exposed: BTreeMap<_, _> = parse(&metrics.expose(Some(&full_report(&documented))))
        .into_iter()
        .map(|(name, family)| {
            assert!(family.help.ends_with('.') && !family.help.contains("not know"), "{name}");
            let name = match family.kind.as_str() {
                "counter" => name + "_total",
                "info" => name + "_info",
                _ => name,
            };
            (name, (family.kind, family.labels))
        })
        .collect();
    assert_eq!(exposed, documented);
}

proptest! {
    #[test]
    fn whatever_is_counted_the_text_is_valid_and_its_series_bounded(
        requests in proptest::collection::vec(
            ("\\PC{0,10}", any::<u16>(), proptest::option::of(0usize..5), 0u64..100_000_000, 0usize..Reason::ALL.len()),
            0..60,
        ),
        guard in proptest::collection::vec(
            (prop_oneof!["[a-z_]{1,6}(_total)?", "\\PC{0,6}"], "\\PC{0,6}", any::<u64>()), 0..20,
        ),
        reasons in proptest::collection::vec(any::<u16>(), 0..20),
    ) {
        let metrics = Metrics::new(&config());
        for (method, status, index, micros, reason) in &requests {
            let mut request = record();
            (request.method, request.status) = (method, *status);
            (request.route, request.supplier, request.listener) = (*index, *index, 9);
            request.duration = Duration::from_micros(*micros);
            request.reason = Reason::ALL.get(*reason).copied();
            metrics.request(&request);
        }
        let report = KernelReport {
            reasons: reasons
                .iter()
                .map(|reason| ReasonCount { reason: *reason, packets: 1, bytes: 1, shadow_packets: 1 })
                .collect(),
            interfaces: report().interfaces,
            guard: guard.iter().map(|(name, label, value)| guard_metric(name, label, *value)).collect(),
        };
        let text = metrics.expose(Some(&report));
        parse(&text);
        let series = text.lines().filter(|line| line.starts_with("gateway_requests_total")).count();
        prop_assert!(series <= 3 * 10 * 6);
    }
}
