//! IP headers as section 2 of the policy reads them: etherparse takes the fields apart, the order
//! of the checks is the policy's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{
    IpAuthHeaderSlice, IpNumber, Ipv4HeaderSlice, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice,
    Ipv6RawExtHeaderSlice,
};

use super::Numbers;

const TCP: u8 = IpNumber::TCP.0;
const FRAGMENT: u8 = IpNumber::IPV6_FRAGMENTATION_HEADER.0;
const HOP_BY_HOP: u8 = IpNumber::IPV6_HEADER_HOP_BY_HOP.0;
const ROUTING: u8 = IpNumber::IPV6_ROUTE_HEADER.0;
const AUTHENTICATION: u8 = IpNumber::AUTHENTICATION_HEADER.0;

/// Extension headers that are followed.
const FOLLOWED: [u8; 8] = [HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, 60, 135, 139, 140];

/// How many of them.
const DEPTH: usize = 8;

/// The first next-header number that is assigned to nothing.
const UNASSIGNED: u8 = 147;

/// A header that was read.
#[derive(Debug)]
pub(super) struct Ip<'a> {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) hop_limit: u8,
    pub(super) protocol: u8,
    /// Behind options and extension headers.
    pub(super) payload: &'a [u8],
    pub(super) rows: Numbers,
    pub(super) has_options: bool,
    pub(super) has_extensions: bool,
    /// Any fragment header of IPv6.
    pub(super) has_fragment_header: bool,
}

/// `Err` holds the source of a header that could not be read, if that much of it was there.
pub(super) fn v4(bytes: &[u8]) -> Result<Ip<'_>, Option<IpAddr>> {
    let header = Ipv4HeaderSlice::from_slice(bytes).ok();
    let header = header.filter(|header| total(header) >= header.slice().len());
    let Some((header, payload)) = header
        .and_then(|header| bytes.get(header.slice().len()..total(&header)).map(|p| (header, p)))
    else {
        return Err(source4(bytes));
    };
    let protocol = header.protocol().0;
    let fragment = Fragment {
        offset: usize::from(header.fragments_offset().value()) * 8,
        more: header.more_fragments(),
        protocol,
        length: payload.len(),
    };
    let mut rows = fragment.rows();
    // RFC 2113: every router is asked to look at an IGMP report.
    let is_alert = protocol == IpNumber::IGMP.0 && header.options() == [0x94, 4, 0, 0];
    if !header.options().is_empty() && !is_alert {
        rows = rows.with(36);
    }
    Ok(Ip {
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        hop_limit: header.ttl(),
        protocol,
        payload,
        rows,
        has_options: !header.options().is_empty(),
        has_extensions: false,
        has_fragment_header: false,
    })
}

fn total(header: &Ipv4HeaderSlice<'_>) -> usize {
    usize::from(header.total_len())
}

fn source4(bytes: &[u8]) -> Option<IpAddr> {
    let version = bytes.first()? >> 4;
    let source = bytes.get(12..)?.first_chunk::<4>()?;
    (version == 4).then(|| Ipv4Addr::from(*source).into())
}

/// The same for IPv6 with its extension headers.
pub(super) fn v6(bytes: &[u8]) -> Result<Ip<'_>, Option<IpAddr>> {
    let Some((header, payload)) = Ipv6HeaderSlice::from_slice(bytes)
        .ok()
        .and_then(|header| payload6(&header, bytes).map(|payload| (header, payload)))
    else {
        return Err(source6(bytes));
    };
    let mut walk = Walk { next: header.next_header().0, payload, ..Walk::default() };
    walk.follow();
    if walk.next >= UNASSIGNED && !walk.rows.has_any_of(Numbers::between(25, 27)) {
        walk.rows = walk.rows.with(37);
    }
    Ok(Ip {
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        hop_limit: header.hop_limit(),
        protocol: walk.next,
        payload: walk.payload,
        rows: walk.rows,
        has_options: false,
        has_extensions: walk.has_extensions,
        has_fragment_header: walk.has_fragment_header,
    })
}

fn payload6<'a>(header: &Ipv6HeaderSlice<'_>, bytes: &'a [u8]) -> Option<&'a [u8]> {
    let behind = bytes.get(40..)?;
    let length = usize::from(header.payload_length());
    // A jumbogram (RFC 2675) says its length in a hop-by-hop option.
    if length == 0 && header.next_header().0 == HOP_BY_HOP {
        return Some(behind);
    }
    behind.get(..length)
}

fn source6(bytes: &[u8]) -> Option<IpAddr> {
    let version = bytes.first()? >> 4;
    let source = bytes.get(8..)?.first_chunk::<16>()?;
    (version == 6).then(|| Ipv6Addr::from(*source).into())
}

/// A chain of extension headers on the way to what it carries.
#[derive(Debug, Default)]
struct Walk<'a> {
    next: u8,
    payload: &'a [u8],
    rows: Numbers,
    has_extensions: bool,
    has_fragment_header: bool,
}

impl Walk<'_> {
    fn follow(&mut self) {
        for index in 0..DEPTH {
            if !FOLLOWED.contains(&self.next) {
                return;
            }
            self.has_extensions = true;
            let is_misplaced = self.next == HOP_BY_HOP && index > 0;
            if is_misplaced || self.step().is_none() {
                self.rows = self.rows.with(26);
                return;
            }
            if self.rows.has(27) {
                return;
            }
        }
        if FOLLOWED.contains(&self.next) {
            self.rows = self.rows.with(25);
        }
    }

    /// `None` if the header does not fit.
    fn step(&mut self) -> Option<()> {
        let kind = self.next;
        if kind == FRAGMENT {
            return self.fragment();
        }
        let length = match kind {
            AUTHENTICATION => IpAuthHeaderSlice::from_slice(self.payload).ok()?.slice().len(),
            _ => Ipv6RawExtHeaderSlice::from_slice(self.payload).ok()?.slice().len(),
        };
        let (header, rest) = self.payload.split_at_checked(length)?;
        if kind == ROUTING && is_source_route(header) {
            self.rows = self.rows.with(38);
        }
        self.next = *header.first()?;
        self.payload = rest;
        Some(())
    }

    fn fragment(&mut self) -> Option<()> {
        let header = Ipv6FragmentHeaderSlice::from_slice(self.payload).ok()?;
        let rest = self.payload.get(header.slice().len()..)?;
        self.has_fragment_header = true;
        let fragment = Fragment {
            offset: usize::from(header.fragment_offset().value()) * 8,
            more: header.more_fragments(),
            protocol: header.next_header().0,
            length: rest.len(),
        };
        self.rows = Numbers(self.rows.0 | fragment.rows().0);
        self.next = fragment.protocol;
        self.payload = rest;
        Some(())
    }
}

/// RFC 5095 withdrew type 0, type 1 was never used; any other is done when no segment is left.
fn is_source_route(header: &[u8]) -> bool {
    match header {
        [_, _, kind, left, ..] => *kind <= 1 || *left != 0,
        _ => false,
    }
}

/// A place in a datagram.
struct Fragment {
    offset: usize,
    more: bool,
    protocol: u8,
    length: usize,
}

impl Fragment {
    /// Rows 27, 39 and 40.
    fn rows(&self) -> Numbers {
        let rows = match (self.offset, self.more) {
            (0, false) => return Numbers::default(),
            (0, true) => Numbers::default().with(39),
            _ => Numbers::default().with(27),
        };
        let leaves_gap = self.more && (self.length == 0 || !self.length.is_multiple_of(8));
        let overwrites = (1..20).contains(&self.offset) && self.protocol == TCP;
        let overruns = self.offset + self.length > 65_535;
        if leaves_gap || overwrites || overruns { rows.with(40) } else { rows }
    }
}
