//! Whether the kernel knows a way to an address. Without IPv6 every name with an IPv6 address would
//! else bring an endpoint that fails for ever.

use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

/// Any will do: nothing is sent.
const PORT: u16 = 53;

/// Connecting a datagram socket asks the routing table and sends nothing.
pub(super) fn leads_to_any(addresses: &[IpAddr]) -> bool {
    addresses.iter().any(|address| {
        let address = SocketAddr::new(*address, PORT);
        Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))
            .and_then(|socket| socket.connect(&address.into()))
            .is_ok()
    })
}
