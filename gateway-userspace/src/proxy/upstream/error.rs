//! Why a supplier gave no answer. Texts name hosts and addresses: they are for logs, and only
//! [`UpstreamError::reason`] ever decides what a client is told.

use std::{error::Error, io, net::SocketAddr, sync::Arc, time::Duration};

use gateway_common::Reason;

/// The error type of bodies.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A request that no supplier answered.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    #[error("there is no supplier number {index}")]
    Unknown { index: usize },
    #[error("the supplier has no target")]
    NoTarget,
    #[error("naming {target} in a request")]
    Name { target: Arc<str>, source: http::Error },
    #[error("connecting to {target}")]
    Unreachable { target: Arc<str>, source: Arc<DialError> },
    #[error("{target} has all its connections in use")]
    Busy { target: Arc<str> },
    #[error("{supplier} has all its room in use, and its queue is full or too slow")]
    Full { supplier: Arc<str> },
    #[error("{supplier} failed most requests and gets none for {wait:?}")]
    Open { supplier: Arc<str>, wait: Duration },
    #[error("waiting for {target}: {wait}")]
    Timeout { target: Arc<str>, wait: Wait },
    #[error("the connection to {target} broke")]
    Lost { target: Arc<str>, source: hyper::Error },
    #[error("{target} does not speak HTTP as it should")]
    Malformed { target: Arc<str>, source: hyper::Error },
    /// Over h2 there is no connection to hand over.
    #[error("{target} speaks h2, which takes no WebSocket; protocol = \"http1\" would")]
    CannotSwitch { target: Arc<str> },
    #[error("{target} switched protocols without being asked")]
    Switched { target: Arc<str> },
    #[error("encoding the supplier's answer")]
    Recoding {
        #[from]
        source: io::Error,
    },
    /// The client's fault: the source is what its body reported.
    #[error("reading the client's request body")]
    RequestBody { source: BoxError },
}

impl UpstreamError {
    /// The reason that is counted, logged and answered with.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Unknown { .. } | Self::NoTarget | Self::Name { .. } | Self::Recoding { .. } => {
                Reason::Internal
            }
            Self::Unreachable { .. } | Self::Lost { .. } => Reason::SupplierUnreachable,
            Self::Busy { .. } => Reason::SupplierBusy,
            Self::Full { .. } => Reason::SupplierQueue,
            Self::Open { .. } => Reason::SupplierOpen,
            Self::CannotSwitch { .. } => Reason::UpgradeRefused,
            Self::Timeout { .. } => Reason::SupplierTimeout,
            Self::Malformed { .. } | Self::Switched { .. } => Reason::SupplierMalformed,
            Self::RequestBody { source } if source.is::<ClientStalled>() => Reason::BodyTimeout,
            Self::RequestBody { .. } => Reason::ClientGone,
        }
    }

    /// What broke an exchange that was under way.
    pub(super) fn of_exchange(target: &Arc<str>, source: hyper::Error) -> Self {
        let target = Arc::clone(target);
        match Fault::of(&source) {
            Fault::Stalled => Self::Timeout { target, wait: Wait::Upload },
            Fault::Malformed => Self::Malformed { target, source },
            Fault::Lost => Self::Lost { target, source },
        }
    }

    /// When it may be better.
    pub fn retry_after(&self) -> Option<Duration> {
        if let Self::Open { wait, .. } = self { Some(*wait) } else { None }
    }

    /// Whether the target that was asked is to blame.
    pub(super) fn is_the_targets(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::Lost { .. }
            | Self::Malformed { .. }
            | Self::Switched { .. } => true,
            Self::Unknown { .. }
            | Self::NoTarget
            | Self::Name { .. }
            | Self::Busy { .. }
            | Self::Full { .. }
            | Self::Open { .. }
            | Self::CannotSwitch { .. }
            | Self::Recoding { .. }
            | Self::RequestBody { .. } => false,
        }
    }

    /// Whether another target of the same supplier may still take the request: nothing was sent.
    pub(super) fn is_before_sending(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Busy { .. })
    }
}

/// What hyper's error says of the supplier.
enum Fault {
    /// A write waited too long.
    Stalled,
    /// Its bytes are not HTTP, or more than we take.
    Malformed,
    Lost,
}

impl Fault {
    fn of(error: &hyper::Error) -> Self {
        if error.is_parse() {
            return Self::Malformed;
        }
        let mut source = error.source();
        while let Some(cause) = source {
            if let Some(h2) = cause.downcast_ref::<h2::Error>() {
                return Self::of_h2(h2);
            }
            if let Some(io) = cause.downcast_ref::<io::Error>() {
                return Self::of_io(io);
            }
            source = cause.source();
        }
        Self::Lost
    }

    /// Errors of our own h2 library are the peer's breaches of the protocol.
    fn of_h2(error: &h2::Error) -> Self {
        match error.get_io() {
            Some(io) => Self::of_io(io),
            None if error.is_library() => Self::Malformed,
            None => Self::Lost,
        }
    }

    fn of_io(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::TimedOut {
            Self::Stalled
        } else if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) {
            Self::Malformed
        } else {
            Self::Lost
        }
    }
}

/// The client did not deliver its body before the request's deadline.
#[derive(Debug, thiserror::Error)]
#[error("the client did not finish its body in time")]
pub struct ClientStalled;

/// What a timeout waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Wait {
    #[error("no response head in time")]
    Head,
    #[error("it stopped reading the request")]
    Upload,
    #[error("it stopped in the middle of the response")]
    Body,
    #[error("the request's deadline passed")]
    Deadline,
}

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("{name} has no address that a supplier may have")]
    NoAddress { name: String },
    #[error("connecting to {address}")]
    Connect { address: SocketAddr, source: io::Error },
    #[error("no connection in time")]
    Timeout,
    #[error("shaking hands with {address}")]
    Handshake { address: SocketAddr, source: io::Error },
    #[error("the supplier did not agree to h2")]
    Alpn,
    #[error("opening HTTP")]
    Http(#[from] hyper::Error),
}

/// Why a supplier cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("the target {target} of supplier {supplier} cannot stand in a request")]
    Name { supplier: String, target: String, source: http::Error },
    #[error("the target {target} of supplier {supplier} is not a name TLS can verify")]
    Tls { supplier: String, target: String, source: rustls_pki_types::InvalidDnsNameError },
}
