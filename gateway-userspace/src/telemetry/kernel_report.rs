//! What the guard answers at a scrape, as metrics. The guard counts; this only names.

use std::{collections::BTreeMap, fmt};

use gateway_common::Reason;
use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::{MetricType, gauge::ConstGauge},
    registry::Registry,
};

use super::tables::Kind;
use crate::ipc::message::{GuardMetric, KernelReport, ReasonCount};

/// Label of a guard metric that comes with one.
const GUARD_LABEL: &str = "kind";

/// A registry for one scrape. Without a report only `gateway_kernel_up 0` is true.
pub(super) fn registry(report: Option<&KernelReport>) -> Registry {
    let mut registry = Registry::default();
    registry.register(
        "gateway_kernel_up",
        "1 if the guard answered this scrape with the kernel's counters",
        ConstGauge::new(u64::from(report.is_some())),
    );
    if let Some(report) = report {
        register_reasons(&mut registry, &report.reasons);
        register_guard(&mut registry, &report.guard);
    }
    registry
}

fn register_reasons(registry: &mut Registry, counts: &[ReasonCount]) {
    let series = |number: fn(&ReasonCount) -> u64| {
        let mut samples = Samples::new(Kind::Counter, "reason");
        for count in counts {
            samples.insert(&reason_name(count.reason), number(count));
        }
        samples
    };
    registry.register(
        "gateway_kernel_packets",
        "Packets by the reason of their verdict",
        series(|count| count.packets),
    );
    registry.register(
        "gateway_kernel_bytes",
        "Bytes of packets by the reason of their verdict",
        series(|count| count.bytes),
    );
    registry.register(
        "gateway_kernel_shadow_packets",
        "Packets that shadow mode let through and enforcing would drop",
        series(|count| count.shadow_packets),
    );
}

/// A name that ends in `_total` is a counter, any other a gauge; where both share a stem the counter
/// is exposed as a gauge, since a family has one type and one name.
fn register_guard(registry: &mut Registry, metrics: &[GuardMetric]) {
    let mut families: BTreeMap<&str, Samples> = BTreeMap::new();
    for metric in metrics.iter().filter(|metric| is_metric_name(&metric.name)) {
        let is_gauge = |name: &str| metrics.iter().any(|other| other.name == name);
        let (family, kind) = match metric.name.strip_suffix("_total") {
            Some(stem) if !is_gauge(stem) => (stem, Kind::Counter),
            Some(_) | None => (metric.name.as_str(), Kind::Gauge),
        };
        let samples = families.entry(family).or_insert_with(|| Samples::new(kind, GUARD_LABEL));
        samples.insert(&metric.label, metric.value);
    }
    for (family, samples) in families {
        let name = format!("gateway_guard_{family}");
        registry.register(name, "A number of the guard's own work", samples);
    }
}

/// A newer guard may count what this proxy has no name for.
fn reason_name(number: u16) -> String {
    Reason::from_number(number)
        .map_or_else(|| format!("unknown_{number}"), |reason| reason.name().to_owned())
}

fn is_metric_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit())
}

/// Finished samples of one family. A repeated label value replaces the one before: two series of
/// one name make a whole scrape invalid.
struct Samples {
    kind: Kind,
    label: &'static str,
    values: BTreeMap<String, u64>,
}

impl Samples {
    fn new(kind: Kind, label: &'static str) -> Self {
        Self { kind, label, values: BTreeMap::new() }
    }

    fn insert(&mut self, label: &str, value: u64) {
        self.values.insert(label.to_owned(), value);
    }
}

impl fmt::Debug for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.values).finish()
    }
}

impl EncodeMetric for Samples {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (label, value) in &self.values {
            let labels = [(self.label, label.as_str())];
            let labels = if label.is_empty() { &[] } else { labels.as_slice() };
            self.kind.encode(&mut encoder, labels, *value)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        self.kind.metric_type()
    }
}
