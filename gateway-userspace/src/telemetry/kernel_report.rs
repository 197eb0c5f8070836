//! What the guard answers at a scrape, as metrics. The guard counts; this only names.

use std::{collections::BTreeMap, fmt};

use gateway_common::Reason;
use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::{MetricType, gauge::ConstGauge},
    registry::Registry,
};

use super::{guard_metrics, tables::Kind};
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
        register_interfaces(&mut registry, &report.interfaces);
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

fn register_interfaces(registry: &mut Registry, interfaces: &[(String, Vec<ReasonCount>)]) {
    let mut samples = Samples::by(Kind::Counter, ["interface", "reason"]);
    for (interface, counts) in interfaces {
        for count in counts {
            samples.put([interface, &reason_name(count.reason)], count.packets);
        }
    }
    registry.register(
        "gateway_kernel_interface_packets",
        "Packets by the interface they came in by and the reason of their verdict",
        samples,
    );
}

/// A name that ends in `_total` is a counter, any other a gauge; where both share a stem the counter
/// is exposed as a gauge, since a family has one type and one name.
fn register_guard(registry: &mut Registry, metrics: &[GuardMetric]) {
    let mut families: BTreeMap<&str, Vec<&GuardMetric>> = BTreeMap::new();
    for metric in metrics.iter().filter(|metric| is_metric_name(&metric.name)) {
        families.entry(&metric.name).or_default().push(metric);
    }
    for (name, members) in &families {
        let stem = name.strip_suffix("_total").filter(|stem| !families.contains_key(stem));
        let kind = if stem.is_some() { Kind::Counter } else { Kind::Gauge };
        let mut samples = Samples::new(kind, GUARD_LABEL);
        for metric in members {
            samples.insert(&metric.label, metric.value);
        }
        let family = format!("gateway_guard_{}", stem.unwrap_or(name));
        registry.register(family, guard_metrics::meaning(name), samples);
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

/// Finished samples of one family, with so many labels. A repeated label value replaces the one
/// before: two series of one name make a whole scrape invalid.
struct Samples<const N: usize> {
    kind: Kind,
    labels: [&'static str; N],
    values: BTreeMap<[String; N], u64>,
}

impl Samples<1> {
    fn new(kind: Kind, label: &'static str) -> Self {
        Self::by(kind, [label])
    }

    fn insert(&mut self, label: &str, value: u64) {
        self.put([label], value);
    }
}

impl<const N: usize> Samples<N> {
    fn by(kind: Kind, labels: [&'static str; N]) -> Self {
        Self { kind, labels, values: BTreeMap::new() }
    }

    fn put(&mut self, labels: [&str; N], value: u64) {
        self.values.insert(labels.map(str::to_owned), value);
    }
}

impl<const N: usize> fmt::Debug for Samples<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.values).finish()
    }
}

impl<const N: usize> EncodeMetric for Samples<N> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (values, value) in &self.values {
            let named = self.labels.iter().zip(values);
            let labels: Vec<(&str, &str)> = named
                .filter(|(_, value)| !value.is_empty())
                .map(|(label, value)| (*label, value.as_str()))
                .collect();
            self.kind.encode(&mut encoder, &labels, *value)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        self.kind.metric_type()
    }
}
