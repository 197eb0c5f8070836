//! Every number of the proxy, and how they read as text. `docs/metrics.md` lists them.

mod identities;
mod labels;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use gateway_common::Reason;
use prometheus_client::{
    encoding::text::{encode_eof, encode_registry},
    metrics::{gauge::ConstGauge, info::Info},
    registry::{Registry, Unit},
};

use crate::{
    clock::{self, Wall},
    config::model::Config,
    ipc::message::KernelReport,
    telemetry::{
        RequestRecord, TlsVersion, kernel_report,
        tables::{Dimension, Latencies, Numbers, Zeros},
    },
};

use identities::Identities;
pub use identities::IdentityFigures;
pub use labels::{
    Limiter, LineOutcome, MirrorOutcome, NAME_STATES, OrderOutcome, RenewalOutcome, StrikeOutcome,
    SupplierOutcome, TARGET_STATES,
};
use labels::{METHODS, STATUS_CLASSES, class_position, method_position, refusal_reasons};

/// `Content-Type` of [`Metrics::expose`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The numbers. Shared by all workers; every method is a few relaxed atomics.
pub struct Metrics {
    registry: Registry,
    requests: Numbers<3>,
    request_duration: Latencies,
    supplier_duration: Latencies,
    supplier_requests: Numbers<2>,
    refusals: Numbers<1>,
    connections: Numbers<0>,
    connections_opened: Numbers<1>,
    in_flight: Numbers<0>,
    tls_handshakes: Numbers<1>,
    supplier_targets: Numbers<2>,
    mirrored: Numbers<1>,
    strikes: Numbers<1>,
    access_log_lines: Numbers<1>,
    limiter_keys: Numbers<1>,
    limiter_full: Numbers<0>,
    left_unpacked: Numbers<0>,
    certificate_expiry: Numbers<1>,
    certificate_renewals: Numbers<1>,
    certificate_orders: Numbers<1>,
    handshake_sources: Numbers<0>,
    supplier_names: Numbers<1>,
    dns_questions: Numbers<0>,
    dns_foreign_answers: Numbers<0>,
    memory: Numbers<1>,
    closed_for_memory: Numbers<0>,
    route_places: Numbers<2>,
    identities: Identities,
    started: Wall,
}

impl Metrics {
    /// With one series for each route, supplier and listener of `config`.
    pub fn new(config: &Config) -> Arc<Self> {
        Self::registered(Self::unregistered(config))
    }

    /// For another configuration. What it has in common with this one is counted in the same
    /// numbers, by requests of both; what is no longer there is no longer shown.
    pub fn succeed(&self, config: &Config) -> Arc<Self> {
        let mut metrics = Self::unregistered(config);
        metrics.requests.inherit(&self.requests);
        metrics.request_duration.inherit(&self.request_duration);
        metrics.supplier_duration.inherit(&self.supplier_duration);
        metrics.supplier_requests.inherit(&self.supplier_requests);
        metrics.refusals.inherit(&self.refusals);
        metrics.connections.inherit(&self.connections);
        metrics.connections_opened.inherit(&self.connections_opened);
        metrics.in_flight.inherit(&self.in_flight);
        metrics.tls_handshakes.inherit(&self.tls_handshakes);
        metrics.strikes.inherit(&self.strikes);
        metrics.access_log_lines.inherit(&self.access_log_lines);
        metrics.limiter_full.inherit(&self.limiter_full);
        metrics.left_unpacked.inherit(&self.left_unpacked);
        metrics.mirrored.inherit(&self.mirrored);
        metrics.closed_for_memory.inherit(&self.closed_for_memory);
        metrics.certificate_renewals.inherit(&self.certificate_renewals);
        metrics.certificate_orders.inherit(&self.certificate_orders);
        Self::registered(Self { started: self.started, ..metrics })
    }

    fn unregistered(config: &Config) -> Self {
        Self {
            registry: Registry::default(),
            requests: Numbers::counters(
                [
                    routes(config),
                    Dimension::new("method", METHODS.into_iter().chain(["other"])),
                    Dimension::new("status_class", STATUS_CLASSES),
                ],
                Zeros::Left,
            ),
            request_duration: Latencies::new(routes(config)),
            supplier_duration: Latencies::new(suppliers(config)),
            supplier_requests: Numbers::counters(
                [suppliers(config), Dimension::new("outcome", SupplierOutcome::NAMES)],
                Zeros::Shown,
            ),
            refusals: counters("reason", refusal_reasons().map(Reason::name).chain(["other"])),
            connections: Numbers::gauges([]),
            connections_opened: counters(
                "listener",
                config.listeners.iter().map(|listener| listener.address.to_string()),
            ),
            in_flight: Numbers::gauges([]),
            tls_handshakes: counters("version", TlsVersion::ALL.map(TlsVersion::name)),
            supplier_targets: Numbers::gauges([
                suppliers(config),
                Dimension::new("state", TARGET_STATES),
            ]),
            mirrored: counters("outcome", ["answered", "failed", "dropped"]),
            strikes: counters("outcome", ["sent", "dropped"]),
            access_log_lines: counters("outcome", ["written", "dropped", "failed"]),
            limiter_keys: Numbers::gauges([limiters(config)]),
            limiter_full: Numbers::counters([], Zeros::Shown),
            left_unpacked: Numbers::counters([], Zeros::Shown),
            certificate_expiry: Numbers::gauges([certificates(config)]),
            certificate_renewals: counters("outcome", RenewalOutcome::NAMES),
            certificate_orders: counters("outcome", OrderOutcome::NAMES),
            handshake_sources: Numbers::gauges([]),
            supplier_names: Numbers::gauges([Dimension::new("state", NAME_STATES)]),
            dns_questions: Numbers::counters([], Zeros::Shown),
            dns_foreign_answers: Numbers::counters([], Zeros::Shown),
            memory: Numbers::gauges([Dimension::new("of", ["used", "bound"])]),
            closed_for_memory: Numbers::counters([], Zeros::Shown),
            route_places: Numbers::gauges([
                routes(config),
                Dimension::new("of", ["taken", "most"]),
            ]),
            identities: Identities::new(config),
            started: clock::wall(),
        }
    }

    fn registered(mut metrics: Self) -> Arc<Self> {
        metrics.register_requests();
        metrics.register_tls();
        metrics.register_connections();
        metrics.register_queues();
        metrics.register_overload();
        metrics.register_process();
        let Self { registry, identities, .. } = &mut metrics;
        identities.register(registry);
        Arc::new(metrics)
    }

    /// Counts a finished request, with its refusal and what its supplier did.
    pub fn request(&self, record: &RequestRecord<'_>) {
        let route = record.route.unwrap_or(usize::MAX);
        let at = [route, method_position(record.method), class_position(record.status)];
        self.requests.add(at, 1);
        self.request_duration.observe(route, record.duration);
        if let Some(reason) = record.reason {
            self.refusal(reason);
        }
        if let Some(supplier) = record.supplier {
            let outcome = SupplierOutcome::of(record.reason, record.status);
            self.supplier_requests.add([supplier, outcome as usize], 1);
            if let Some(duration) = record.supplier_duration {
                self.supplier_duration.observe(supplier, duration);
            }
        }
    }

    /// Counts a refusal that no [`RequestRecord`] tells of: a connection or a handshake.
    pub fn refusal(&self, reason: Reason) {
        let position = refusal_reasons().position(|known| known == reason);
        self.refusals.add([position.unwrap_or(usize::MAX)], 1);
    }

    pub fn connection_opened(&self, listener: usize) {
        self.connections.add([], 1);
        self.connections_opened.add([listener], 1);
    }

    pub fn connection_closed(&self) {
        self.connections.subtract([], 1);
    }

    /// Connections open at this moment.
    pub fn connections(&self) -> u64 {
        self.connections.get([])
    }

    pub fn request_started(&self) {
        self.in_flight.add([], 1);
    }

    /// When the body of the answer has ended.
    pub fn request_ended(&self) {
        self.in_flight.subtract([], 1);
    }

    /// Requests in flight at this moment.
    pub fn requests_in_flight(&self) -> u64 {
        self.in_flight.get([])
    }

    pub fn tls_handshake(&self, version: TlsVersion) {
        self.tls_handshakes.add([version as usize], 1);
    }

    /// How many targets of a supplier are in each state, in the order of their labels. Called
    /// before a scrape.
    pub fn supplier_targets(&self, supplier: usize, states: &[u64; TARGET_STATES.len()]) {
        for (state, count) in states.iter().enumerate() {
            self.supplier_targets.set([supplier, state], *count);
        }
    }

    pub fn mirrored(&self, outcome: MirrorOutcome) {
        self.mirrored.add([outcome as usize], 1);
    }

    pub fn strike(&self, outcome: StrikeOutcome) {
        self.strikes.add([outcome as usize], 1);
    }

    pub fn access_log_lines(&self, outcome: LineOutcome, count: u64) {
        self.access_log_lines.add([outcome as usize], count);
    }

    /// How many keys a limiter holds. Called before a scrape, not by requests.
    pub fn limiter_keys(&self, limiter: Limiter, keys: u64) {
        let position = match limiter {
            Limiter::Route(index) => index,
            Limiter::Anonymous => usize::MAX,
        };
        self.limiter_keys.set([position], keys);
    }

    /// How long each certificate holds, in the order of the configuration. Called before a scrape.
    pub fn certificates_hold(&self, seconds_left: &[u64]) {
        for (place, seconds) in seconds_left.iter().enumerate() {
            self.certificate_expiry.set([place], *seconds);
        }
    }

    /// Files of certificates were read again.
    pub fn certificates_renewed(&self, outcome: RenewalOutcome) {
        self.certificate_renewals.add([outcome as usize], 1);
    }

    /// An order for a certificate is over.
    pub fn certificate_ordered(&self, outcome: OrderOutcome) {
        self.certificate_orders.add([outcome as usize], 1);
    }

    /// Bytes that the process uses, and may use. Called before a scrape.
    pub fn memory(&self, used: u64, bound: u64) {
        self.memory.set([0], used);
        self.memory.set([1], bound);
    }

    /// An idle connection was closed before its time.
    pub fn closed_for_memory(&self) {
        self.closed_for_memory.add([], 1);
    }

    /// Requests in flight on a bounded route, and how many may be.
    pub fn route_places(&self, route: usize, taken: u32, most: u32) {
        self.route_places.set([route, 0], taken.into());
        self.route_places.set([route, 1], most.into());
    }

    /// How many sources the handshake limiter holds. Called before a scrape.
    pub fn handshake_sources(&self, sources: u64) {
        self.handshake_sources.set([], sources);
    }

    /// How many names are in each of [`NAME_STATES`], and what came of asking for them so far.
    /// Called before a scrape.
    pub fn names(&self, states: [u64; NAME_STATES.len()], questions: u64, foreign: u64) {
        for (state, count) in states.into_iter().enumerate() {
            self.supplier_names.set([state], count);
        }
        self.dns_questions.set([], questions);
        self.dns_foreign_answers.set([], foreign);
    }

    /// How an identity's issuer fares, by its place among those with tokens. Called before a scrape.
    pub fn identity(&self, identity: usize, figures: IdentityFigures) {
        self.identities.set(identity, figures);
    }

    /// Proofs of possession remembered, and turned away so far. Called before a scrape.
    pub fn proofs(&self, remembered: u64, turned_away: u64) {
        self.identities.proofs(remembered, turned_away);
    }

    /// A limiter had no room for one more key.
    pub fn limiter_full(&self) {
        self.limiter_full.add([], 1);
    }

    /// An answer went out as it was, for too many were being packed.
    pub fn left_unpacked(&self) {
        self.left_unpacked.add([], 1);
    }

    /// Name of a route; `None` for a request that met none.
    pub fn route_name(&self, route: Option<usize>) -> Option<&str> {
        self.request_duration.name(route?)
    }

    /// Name of a supplier; `None` for a request that met none.
    pub fn supplier_name(&self, supplier: Option<usize>) -> Option<&str> {
        self.supplier_duration.name(supplier?)
    }

    /// Address of a listener.
    pub fn listener_name(&self, listener: usize) -> Option<&str> {
        self.connections_opened.name(listener)
    }

    /// The `OpenMetrics` text. `kernel` is what the guard answered, `None` if it did not.
    pub fn expose(&self, kernel: Option<&KernelReport>) -> String {
        let mut text = String::with_capacity(16 * 1024);
        let written = encode_registry(&mut text, &self.registry)
            .and_then(|()| encode_registry(&mut text, &kernel_report::registry(kernel)))
            .and_then(|()| encode_eof(&mut text));
        // A `String` takes every write; a collector's own error would leave a cut exposition.
        written.map_or_else(|_| "# EOF\n".to_owned(), |()| text)
    }
}

impl Metrics {
    fn register_requests(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "gateway_requests",
            "Finished requests by route, method and class of status",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "gateway_request_duration",
            "From the first byte of the head to the end of the answer",
            Unit::Seconds,
            self.request_duration.clone(),
        );
        registry.register(
            "gateway_supplier_requests",
            "Requests to a supplier by what became of them",
            self.supplier_requests.clone(),
        );
        registry.register_with_unit(
            "gateway_supplier_duration",
            "From the request to a supplier until the head of its answer",
            Unit::Seconds,
            self.supplier_duration.clone(),
        );
        registry.register(
            "gateway_supplier_targets",
            "Targets of a supplier by whether they may be asked",
            self.supplier_targets.clone(),
        );
        registry.register(
            "gateway_supplier_names",
            "Names of suppliers by what is known of them",
            self.supplier_names.clone(),
        );
        registry.register(
            "gateway_dns_questions",
            "Questions to name servers",
            self.dns_questions.clone(),
        );
        registry.register(
            "gateway_dns_foreign_answers",
            "Datagrams that answered another question: late, or forged",
            self.dns_foreign_answers.clone(),
        );
        registry.register(
            "gateway_mirrored",
            "Copies of requests for mirrors by what became of them",
            self.mirrored.clone(),
        );
        registry.register(
            "gateway_refusals",
            "Refused connections, handshakes and requests by reason",
            self.refusals.clone(),
        );
        registry.register(
            "gateway_requests_in_flight",
            "Requests whose answer has not ended",
            self.in_flight.clone(),
        );
    }

    fn register_connections(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "gateway_connections",
            "Open client connections",
            self.connections.clone(),
        );
        registry.register(
            "gateway_connections_accepted",
            "Accepted client connections by listener",
            self.connections_opened.clone(),
        );
        registry.register(
            "gateway_tls_handshakes",
            "Completed TLS handshakes by version",
            self.tls_handshakes.clone(),
        );
    }

    fn register_tls(&mut self) {
        let registry = &mut self.registry;
        registry.register_with_unit(
            "gateway_certificate_expiry",
            "Until a certificate, authority or list of revoked ones ends; 0 behind its end",
            Unit::Seconds,
            self.certificate_expiry.clone(),
        );
        registry.register(
            "gateway_certificate_renewals",
            "How often certificate files were read again, by whether all were good",
            self.certificate_renewals.clone(),
        );
        registry.register(
            "gateway_certificate_orders",
            "Orders for certificates with the authority of [acme], by what became of them",
            self.certificate_orders.clone(),
        );
        registry.register(
            "gateway_handshake_sources",
            "Sources that the handshake limiter holds",
            self.handshake_sources.clone(),
        );
    }

    fn register_queues(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "gateway_strikes",
            "Strikes for the guard by what became of them",
            self.strikes.clone(),
        );
        registry.register(
            "gateway_access_log_lines",
            "Access log lines by what became of them",
            self.access_log_lines.clone(),
        );
        registry.register(
            "gateway_limiter_keys",
            "Keys a limiter holds",
            self.limiter_keys.clone(),
        );
        registry.register(
            "gateway_limiter_full",
            "Requests that found no room for their key in a limiter",
            self.limiter_full.clone(),
        );
        registry.register(
            "gateway_left_unpacked",
            "Answers that went out as they were, for too many were being packed",
            self.left_unpacked.clone(),
        );
    }

    fn register_overload(&mut self) {
        let registry = &mut self.registry;
        registry.register_with_unit(
            "gateway_memory",
            "Memory of the proxy, and proxy.memory",
            Unit::Bytes,
            self.memory.clone(),
        );
        registry.register(
            "gateway_memory_closed",
            "Idle connections closed early because memory is scarce",
            self.closed_for_memory.clone(),
        );
        registry.register(
            "gateway_route_places",
            "Requests in flight on a route with a bound of its own, and how many may be",
            self.route_places.clone(),
        );
    }

    fn register_process(&mut self) {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        self.registry.register("gateway_build", "The running version", Info::new(version));
        self.registry.register_with_unit(
            "process_start_time",
            "When this proxy started, since 1970",
            Unit::Seconds,
            ConstGauge::new(self.started.0),
        );
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

fn counters<T: Into<String>>(
    label: &'static str,
    values: impl IntoIterator<Item = T>,
) -> Numbers<1> {
    Numbers::counters([Dimension::new(label, values)], Zeros::Shown)
}

/// The routes in their order, then `none`.
fn routes(config: &Config) -> Dimension {
    let names = config.routes.iter().map(|route| route.name.as_str());
    Dimension::new("route", names.chain(["none"]))
}

fn suppliers(config: &Config) -> Dimension {
    Dimension::new("supplier", config.suppliers.iter().map(|supplier| supplier.name.as_str()))
}

/// In the order of the configuration; a file of several listeners is one.
fn certificates(config: &Config) -> Dimension {
    let files = config.listeners.iter().flat_map(|listener| listener.tls.dated_files());
    Dimension::new("source", files)
}

/// The routes in their order, then the anonymous limiter; prefixed, so that no route's name is it.
fn limiters(config: &Config) -> Dimension {
    let names = config.routes.iter().map(|route| format!("route:{}", route.name));
    Dimension::new("limiter", names.chain(["anonymous".to_owned()]))
}
