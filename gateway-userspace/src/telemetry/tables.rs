//! Metric families whose every series is known when the configuration is: dense atomics.
//!
//! A worker adds to a series by position, with one relaxed atomic and neither a lock nor a hash
//! of label strings. Nothing a client sends can make a series.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::MetricType,
};

/// Upper bounds of latency buckets, in microseconds. Below 1 ms lies what the gateway adds by
/// itself, above it what suppliers take; 30 s is the longest default timeout.
const BOUNDS_US: [u64; 17] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 20_000_000, 30_000_000,
];

/// One label and all values it can have.
#[derive(Debug)]
pub(super) struct Dimension {
    label: &'static str,
    values: Vec<String>,
    /// Position given by the caller to position in `values`.
    slots: Vec<usize>,
}

impl Dimension {
    /// Equal values share one series: two series of one name make a whole scrape invalid.
    pub(super) fn new<T: Into<String>>(
        label: &'static str,
        given: impl IntoIterator<Item = T>,
    ) -> Self {
        let mut dimension = Self { label, values: Vec::new(), slots: Vec::new() };
        for value in given {
            let value = value.into();
            let known = dimension.values.iter().position(|other| *other == value);
            dimension.slots.push(known.unwrap_or(dimension.values.len()));
            if known.is_none() {
                dimension.values.push(value);
            }
        }
        dimension
    }

    /// The value at a position, if there is one.
    fn name(&self, position: usize) -> Option<&str> {
        self.values.get(*self.slots.get(position)?).map(String::as_str)
    }

    /// The slot of a position; of one out of range the last, which stands for "none" or "other".
    fn slot(&self, position: usize) -> usize {
        self.slots.get(position).or(self.slots.last()).copied().unwrap_or(0)
    }
}

/// Whether series that never counted are exposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zeros {
    /// For few series: a first event then shows up in `rate()`.
    Shown,
    /// For products of labels, most of which never happen.
    Left,
}

/// A family of `N` labels with one number a series.
#[derive(Clone)]
pub(super) struct Numbers<const N: usize> {
    shared: Arc<Shared<N>>,
    kind: Kind,
    zeros: Zeros,
}

struct Shared<const N: usize> {
    dimensions: [Dimension; N],
    /// One for each value of the first dimension. A reload hands them on by that value, so that
    /// requests of both configurations count in the same cells.
    rows: Box<[Arc<[AtomicU64]>]>,
    width: usize,
}

fn same_values((a, b): (&Dimension, &Dimension)) -> bool {
    a.values == b.values
}

/// What a number may do.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Counter,
    Gauge,
}

impl<const N: usize> Numbers<N> {
    pub(super) fn counters(dimensions: [Dimension; N], zeros: Zeros) -> Self {
        Self::new(dimensions, Kind::Counter, zeros)
    }

    pub(super) fn gauges(dimensions: [Dimension; N]) -> Self {
        Self::new(dimensions, Kind::Gauge, Zeros::Shown)
    }

    fn new(dimensions: [Dimension; N], kind: Kind, zeros: Zeros) -> Self {
        let mut lengths = dimensions.iter().map(|dimension| dimension.values.len());
        let count = lengths.next().unwrap_or(1);
        let width = lengths.product();
        let row = || (0..width).map(|_| AtomicU64::new(0)).collect();
        let rows = (0..count).map(|_| row()).collect();
        Self { shared: Arc::new(Shared { dimensions, rows, width }), kind, zeros }
    }

    /// Goes on with the numbers of `earlier` where the labels are the same.
    pub(super) fn inherit(&mut self, earlier: &Self) {
        let Some(shared) = Arc::get_mut(&mut self.shared) else { return };
        let fits = shared.width == earlier.shared.width
            && shared.dimensions.iter().zip(&earlier.shared.dimensions).skip(1).all(same_values);
        if !fits {
            return;
        }
        let values = |dimensions: &[Dimension; N]| {
            dimensions.first().map_or_else(|| vec![String::new()], |first| first.values.clone())
        };
        let known: HashMap<String, &Arc<[AtomicU64]>> =
            values(&earlier.shared.dimensions).into_iter().zip(&earlier.shared.rows).collect();
        for (value, row) in values(&shared.dimensions).iter().zip(&mut shared.rows) {
            if let Some(known) = known.get(value) {
                *row = Arc::clone(known);
            }
        }
    }

    pub(super) fn add(&self, at: [usize; N], count: u64) {
        if let Some(cell) = self.cell(at) {
            cell.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Never below zero: a close without its open is a fault of the caller, not 2^64 connections.
    pub(super) fn subtract(&self, at: [usize; N], count: u64) {
        if let Some(cell) = self.cell(at) {
            cell.update(Ordering::Relaxed, Ordering::Relaxed, |now| now.saturating_sub(count));
        }
    }

    pub(super) fn set(&self, at: [usize; N], value: u64) {
        if let Some(cell) = self.cell(at) {
            cell.store(value, Ordering::Relaxed);
        }
    }

    pub(super) fn get(&self, at: [usize; N]) -> u64 {
        self.cell(at).map_or(0, |cell| cell.load(Ordering::Relaxed))
    }

    fn cell(&self, at: [usize; N]) -> Option<&AtomicU64> {
        let index =
            at.iter().zip(&self.shared.dimensions).fold(0, |index, (position, dimension)| {
                index * dimension.values.len() + dimension.slot(*position)
            });
        let width = self.shared.width.max(1);
        self.shared.rows.get(index / width)?.get(index % width)
    }

    /// The labels of the cell at `index`: `cell` read backwards.
    fn labels(&self, mut index: usize) -> [(&'static str, &str); N] {
        let mut labels = [("", ""); N];
        for (label, dimension) in labels.iter_mut().zip(&self.shared.dimensions).rev() {
            let count = dimension.values.len().max(1);
            *label =
                (dimension.label, dimension.values.get(index % count).map_or("", String::as_str));
            index /= count;
        }
        labels
    }
}

impl Numbers<1> {
    /// The label value at a position.
    pub(super) fn name(&self, at: usize) -> Option<&str> {
        let [dimension] = &self.shared.dimensions;
        dimension.name(at)
    }
}

impl<const N: usize> fmt::Debug for Numbers<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Numbers").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Kind {
    /// Writes one sample. An empty label set is left out, else it would be written as `{}`.
    pub(super) fn encode(
        self,
        encoder: &mut MetricEncoder<'_>,
        labels: &[(&str, &str)],
        value: u64,
    ) -> fmt::Result {
        if labels.is_empty() {
            return self.encode_value(encoder, value);
        }
        self.encode_value(&mut encoder.encode_family(&labels)?, value)
    }

    pub(super) fn metric_type(self) -> MetricType {
        match self {
            Self::Counter => MetricType::Counter,
            Self::Gauge => MetricType::Gauge,
        }
    }

    fn encode_value(self, encoder: &mut MetricEncoder<'_>, value: u64) -> fmt::Result {
        match self {
            Self::Counter => encoder.encode_counter::<NoLabelSet, _, f64>(&value, None),
            Self::Gauge => encoder.encode_gauge(&value),
        }
    }
}

impl<const N: usize> EncodeMetric for Numbers<N> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let cells = self.shared.rows.iter().flat_map(|row| row.iter());
        for (index, cell) in cells.enumerate() {
            let value = cell.load(Ordering::Relaxed);
            if value > 0 || self.zeros == Zeros::Shown {
                self.kind.encode(&mut encoder, &self.labels(index), value)?;
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        self.kind.metric_type()
    }
}

/// A family of latency histograms by one label. The crate's own takes a mutex an observation.
#[derive(Clone)]
pub(super) struct Latencies(Arc<LatencyTable>);

struct LatencyTable {
    dimension: Dimension,
    series: Box<[Arc<Latency>]>,
}

/// One histogram. Its count is the sum of its buckets, so that both always agree.
#[derive(Default)]
struct Latency {
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_ns: AtomicU64,
}

impl Latencies {
    pub(super) fn new(dimension: Dimension) -> Self {
        let series = dimension.values.iter().map(|_| Arc::default()).collect();
        Self(Arc::new(LatencyTable { dimension, series }))
    }

    /// As for numbers.
    pub(super) fn inherit(&mut self, earlier: &Self) {
        let Some(table) = Arc::get_mut(&mut self.0) else { return };
        let known: HashMap<&String, &Arc<Latency>> =
            earlier.0.dimension.values.iter().zip(&earlier.0.series).collect();
        for (value, series) in table.dimension.values.iter().zip(&mut table.series) {
            if let Some(known) = known.get(value) {
                *series = Arc::clone(known);
            }
        }
    }

    /// The label value at a position.
    pub(super) fn name(&self, at: usize) -> Option<&str> {
        self.0.dimension.name(at)
    }

    pub(super) fn observe(&self, at: usize, duration: Duration) {
        let Some(series) = self.0.series.get(self.0.dimension.slot(at)) else { return };
        let bucket = BOUNDS_US.partition_point(|bound| Duration::from_micros(*bound) < duration);
        if let Some(cell) = series.buckets.get(bucket) {
            cell.fetch_add(1, Ordering::Relaxed);
        }
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        series.sum_ns.fetch_add(nanos, Ordering::Relaxed);
    }
}

impl Latency {
    /// Upper bounds in seconds with what each bucket alone counted.
    fn read(&self) -> Vec<(f64, u64)> {
        let seconds = |bound: &u64| Duration::from_micros(*bound).as_secs_f64();
        let bounds = BOUNDS_US.iter().map(seconds).chain([f64::INFINITY]);
        bounds.zip(self.buckets.iter().map(|cell| cell.load(Ordering::Relaxed))).collect()
    }
}

impl fmt::Debug for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Latencies").field(&self.0.dimension).finish()
    }
}

impl EncodeMetric for Latencies {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (value, series) in self.0.dimension.values.iter().zip(&self.0.series) {
            let buckets = series.read();
            let count = buckets.iter().map(|(_, count)| count).sum();
            if count == 0 {
                continue;
            }
            let sum = Duration::from_nanos(series.sum_ns.load(Ordering::Relaxed)).as_secs_f64();
            encoder
                .encode_family(&[(self.0.dimension.label, value.as_str())])?
                .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}
