//! One scrape: everything counted, as Prometheus reads it, the kernel's counters included.

use std::{fmt, sync::Arc};

use gateway_common::Reason;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet, text::encode},
    metrics::MetricType,
    registry::Registry,
};

use super::metrics::Metrics;
use crate::ipc::message::KernelReport;

/// Numbers that are read at the moment of the scrape: name, help, label and its value, number.
pub(crate) type Gauges = Vec<(&'static str, &'static str, (&'static str, String), u64)>;

/// What is rendered.
#[derive(Debug)]
pub(crate) struct Scrape {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) gauges: Gauges,
    /// `None` where the guard did not answer in time.
    pub(crate) kernel: Option<KernelReport>,
}

impl Scrape {
    /// The text of a scrape.
    pub(crate) fn render(self) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix("gateway");
        registry.register_collector(Box::new(self));
        let mut text = String::with_capacity(16 * 1024);
        encode(&mut text, &registry)?;
        Ok(text)
    }

    fn requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Requests by route, method and status class";
        let mut family = Family::counter(encoder, "requests", help)?;
        for route in &self.metrics.routes {
            for (method, class, count) in route.counts() {
                let labels = [("route", route.name.as_str()), ("method", method), ("class", class)];
                family.add(&labels, count)?;
            }
        }
        drop(family);
        let help = "Requests from head to the end of the response";
        let mut metric = encoder.encode_descriptor(
            "request_duration_seconds",
            help,
            None,
            MetricType::Histogram,
        )?;
        for route in &self.metrics.routes {
            let (sum, count, buckets) = route.durations.read();
            if count > 0 {
                let labels = [("route", route.name.as_str())];
                metric
                    .encode_family(&labels)?
                    .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
            }
        }
        Ok(())
    }

    fn refusals(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Connections and requests refused, by reason";
        let mut family = Family::counter(encoder, "refusals", help)?;
        for reason in Reason::ALL {
            let count = self.metrics.refusals(*reason);
            if count > 0 {
                family.add(&[("reason", reason.name())], count)?;
            }
        }
        Ok(())
    }

    fn suppliers(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Requests to suppliers by what became of them";
        let mut family = Family::counter(encoder, "supplier_requests", help)?;
        for supplier in &self.metrics.suppliers {
            for (outcome, count) in supplier.counts() {
                family.add(&[("supplier", supplier.name.as_str()), ("outcome", outcome)], count)?;
            }
        }
        Ok(())
    }

    fn own(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let metrics = &self.metrics;
        for (name, help, count) in [
            ("connections_accepted", "Connections taken", &metrics.accepted),
            ("accept_errors", "Failures to take a connection", &metrics.accept_errors),
            ("strikes_sent", "Strikes told to the guard", &metrics.strikes_sent),
            (
                "feedback_dropped",
                "Strikes and trust that did not fit the queue to the guard",
                &metrics.feedback_dropped,
            ),
            (
                "access_log_dropped",
                "Access log lines that did not fit the queue",
                &metrics.log_dropped,
            ),
            (
                "access_log_failed",
                "Access log lines that could not be written",
                &metrics.log_failed,
            ),
        ] {
            Family::counter(encoder, name, help)?.alone(count.get())?;
        }
        for (name, help, label, value) in &self.gauges {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            if label.0.is_empty() {
                metric.encode_gauge(value)?;
            } else {
                metric.encode_family(&[(label.0, label.1.as_str())])?.encode_gauge(value)?;
            }
        }
        Ok(())
    }

    fn kernel(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        encoder
            .encode_descriptor(
                "guard_up",
                "The guard answered this scrape",
                None,
                MetricType::Gauge,
            )?
            .encode_gauge(&u64::from(self.kernel.is_some()))?;
        let Some(report) = &self.kernel else { return Ok(()) };
        for (name, help, pick) in KERNEL {
            let mut family = Family::counter(encoder, name, help)?;
            for count in &report.reasons {
                let reason = Reason::from_number(count.reason).map_or("unknown", Reason::name);
                let value = pick(count);
                if value > 0 || *name == "packets" {
                    family.add(&[("reason", reason)], value)?;
                }
            }
        }
        guard(report, encoder)
    }
}

type Pick = fn(&crate::ipc::message::ReasonCount) -> u64;

const KERNEL: &[(&str, &str, Pick)] = &[
    ("packets", "Packets by what the kernel decided", |count| count.packets),
    ("packet_bytes", "Bytes of those packets", |count| count.bytes),
    ("shadow_packets", "Packets that would have been dropped, in shadow mode", |count| {
        count.shadow_packets
    }),
];

/// The guard names its own numbers; `_total` marks a counter. Equal names stand together.
fn guard(report: &KernelReport, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut names: Vec<&str> = report.guard.iter().map(|metric| metric.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names.into_iter().filter(|name| lawful(name)) {
        let counter = name.strip_suffix("_total");
        let full = format!("guard_{}", counter.unwrap_or(name));
        let kind = if counter.is_some() { MetricType::Counter } else { MetricType::Gauge };
        let mut metric = encoder.encode_descriptor(&full, "Of the guard", None, kind)?;
        for one in report.guard.iter().filter(|metric| metric.name == name) {
            let labels = [("label", one.label.as_str())];
            match (counter.is_some(), one.label.is_empty()) {
                (true, true) => metric.encode_counter::<NoLabelSet, u64, u64>(&one.value, None)?,
                (true, false) => metric
                    .encode_family(&labels)?
                    .encode_counter::<NoLabelSet, u64, u64>(&one.value, None)?,
                (false, true) => metric.encode_gauge(&one.value)?,
                (false, false) => metric.encode_family(&labels)?.encode_gauge(&one.value)?,
            }
        }
    }
    Ok(())
}

fn lawful(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.requests(&mut encoder)?;
        self.refusals(&mut encoder)?;
        self.suppliers(&mut encoder)?;
        self.own(&mut encoder)?;
        self.kernel(&mut encoder)
    }
}

/// Counters of one name.
struct Family<'a>(prometheus_client::encoding::MetricEncoder<'a>);

impl<'a> Family<'a> {
    fn counter(
        encoder: &'a mut DescriptorEncoder<'_>,
        name: &'a str,
        help: &str,
    ) -> Result<Self, fmt::Error> {
        encoder.encode_descriptor(name, help, None, MetricType::Counter).map(Self)
    }

    fn add<S: EncodeLabelSet>(&mut self, labels: &S, value: u64) -> fmt::Result {
        self.0.encode_family(labels)?.encode_counter::<NoLabelSet, u64, u64>(&value, None)
    }

    fn alone(&mut self, value: u64) -> fmt::Result {
        self.0.encode_counter::<NoLabelSet, u64, u64>(&value, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::message::{GuardMetric, ReasonCount};

    #[test]
    fn renders_requests_refusals_and_the_kernel() {
        let metrics = Arc::new(Metrics::new(&["pay".to_owned()], &["ledger".to_owned()]));
        metrics.refused(Reason::PathInvalid);
        let kernel = KernelReport {
            reasons: vec![ReasonCount { reason: 0, packets: 7, bytes: 700, shadow_packets: 0 }],
            guard: vec![GuardMetric { name: "bans".to_owned(), label: String::new(), value: 3 }],
        };
        let gauges = vec![("connections", "Open connections", ("", String::new()), 5)];
        let text = Scrape { metrics, gauges, kernel: Some(kernel) }.render().unwrap();
        for line in [
            "gateway_refusals_total{reason=\"path_invalid\"} 1",
            "gateway_packets_total{reason=\"passed\"} 7",
            "gateway_guard_bans 3",
            "gateway_guard_up 1",
            "gateway_connections 5",
            "# EOF",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
