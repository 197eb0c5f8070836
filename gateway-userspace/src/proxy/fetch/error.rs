//! Why a question of the gateway's own has no answer.

use std::{net::SocketAddr, time::Duration};

use crate::{config::model::Url, proxy::upstream::LookupError};

/// What went wrong, in the order of the steps.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("writing the request to {url}")]
    Request {
        url: Url,
        #[source]
        source: http::Error,
    },
    #[error("looking up {host}")]
    Lookup {
        host: String,
        #[source]
        source: LookupError,
    },
    #[error("{host} has no address")]
    NoAddress { host: String },
    #[error("{host} leads into this machine or its link, and local = true is not said")]
    Local { host: String },
    #[error("connecting to {address}")]
    Connect {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("{host} did not answer within {} seconds", total.as_secs())]
    Late { host: String, total: Duration },
    #[error("speaking HTTP with {host}")]
    Http {
        host: String,
        #[source]
        source: hyper::Error,
    },
    #[error("{host} answered {status}, a redirect, which is not followed")]
    Redirect { host: String, status: u16 },
    #[error("{host} packed its answer, which was not asked for")]
    Packed { host: String },
    #[error("the answer of {host} is cut off, or over {most} bytes")]
    Body { host: String, most: usize },
}
