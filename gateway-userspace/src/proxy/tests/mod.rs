//! The proxy as clients and suppliers see it: real TLS clients, a real proxy, real origins, all on
//! loopback.

mod bodies;
mod client;
mod client_address;
mod codings;
mod connections;
mod cors;
mod framing;
mod framing_cases;
mod grpc;
mod h2_bounds;
mod h2_floods;
mod identities;
mod lab;
mod origin;
mod overload;
pub(in crate::proxy) mod plain_client;
mod recorder;
mod requests;
mod routes;
mod streams;
mod suppliers;
mod targets;
mod tls;
mod tokens;
mod transform;
mod upgrades;
mod websockets_h2;
mod wire;
