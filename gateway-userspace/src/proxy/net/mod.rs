//! From a listening socket to requests: accepting, bounds, patience with slow peers, and hyper.

pub(crate) mod accept;
pub(crate) mod connection;
pub(crate) mod connections;
mod gate;
mod handshake;
pub(crate) mod handshakes;
mod http2;
mod linger;
pub(crate) mod local;
mod proxy_header;
mod refuse;
mod serve;
mod sleeper;
mod stream;
mod tunnel;
mod vigil;

#[cfg(test)]
pub(crate) use self::vigil::WAKEFUL;
