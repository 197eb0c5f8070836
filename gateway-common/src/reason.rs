//! Every way to refuse anything, packet or request: numbered once, never reused.
//!
//! One table gives each reason its metric label, HTTP status, client text, strike weight and the
//! sentence that documents it, so that a refusal reads the same in every counter, log and answer.

/// Where a reason is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plane {
    /// In XDP, for a packet. Numbers below [`PACKET_REASONS`]; counted per CPU.
    Packet,
    /// In the proxy, for a connection or a request.
    Request,
    /// In the guard: why a ban exists that no packet or request caused.
    Ban,
}

/// Packet reasons are array indexes in the kernel; all are below this.
pub const PACKET_REASONS: usize = 64;

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Info {
    /// The reason this row describes.
    pub reason: Reason,
    /// The label in metrics, logs and `gateway why`: snake case, stable.
    pub name: &'static str,
    /// Where it is decided.
    pub plane: Plane,
    /// HTTP status of a request refused for it; 0 where no answer is sent.
    pub status: u16,
    /// Default strike weight; 0 earns none. Thresholds are in `[bans]`.
    pub strike: u32,
    /// What the client reads (RFC 9457 `title`), or what the operator reads for a packet.
    pub title: &'static str,
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $number:literal, $name:literal, $plane:ident, $status:literal, $strike:literal, $title:literal;)+) => {
        /// Why a packet or request was passed, refused or banned.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum Reason {
            $($(#[doc = $doc])+ $variant = $number,)+
        }

        impl Reason {
            /// Every reason, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The row of this reason.
            pub const fn info(self) -> Info {
                match self {
                    $(Self::$variant => Info {
                        reason: self,
                        name: $name,
                        plane: Plane::$plane,
                        status: $status,
                        strike: $strike,
                        title: $title,
                    },)+
                }
            }

            /// The reason with this number; `None` for a number never given.
            pub const fn from_number(number: u16) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

// variant = number, label, plane, HTTP status, strike weight, title
reasons! {
    /// No rule touched the packet.
    Passed = 0, "passed", Packet, 0, 0, "Passed";
    /// The source is on the allow list.
    Allowed = 1, "allowed", Packet, 0, 0, "Source is on the allow list";
    /// ARP: without it the interface loses its neighbours.
    Arp = 2, "arp", Packet, 0, 0, "ARP";
    /// The operator ordered `gateway panic pass`.
    PanicPass = 3, "panic_pass", Packet, 0, 0, "Everything passes by operator's order";
    /// An allowed source above the aggregate limit of allowed traffic.
    AllowLimit = 4, "allow_limit", Packet, 0, 0, "Allowed traffic over its aggregate limit";

    /// What the host itself asked for, under the closed policy.
    ReturnTraffic = 5, "return_traffic", Packet, 0, 0, "Answer to traffic of this host";
    /// Neighbour discovery and multicast listener discovery, under the closed policy.
    Neighbour = 6, "neighbour", Packet, 0, 0, "IPv6 neighbour or multicast listener discovery";
    /// An answer of a DHCP server, under the closed policy.
    Dhcp = 7, "dhcp", Packet, 0, 0, "Answer of a DHCP server";
    /// An ICMP error that TCP and path MTU discovery need, under the closed policy.
    IcmpEssential = 8, "icmp_essential", Packet, 0, 0, "Essential ICMP error";

    /// The source address is banned.
    BanHost = 10, "ban_host", Packet, 0, 0, "Source address is banned";
    /// A banned prefix covers the source.
    BanPrefix = 11, "ban_prefix", Packet, 0, 0, "Source prefix is banned";
    /// The source sends more packets than `kernel.packets` grants.
    PacketLimit = 12, "packet_limit", Packet, 0, 0, "Source over its packet limit";
    /// The exact limit table took no new source this second (`kernel.limit_inserts`).
    LimitInserts = 13, "limit_inserts", Packet, 0, 0, "Over the sketch limit while the exact table is guarded";
    /// The source asks for more connections than `kernel.syns` grants.
    SynLimit = 14, "syn_limit", Packet, 0, 0, "Source over its SYN limit";
    /// The source's /24 or /48 sends more packets than `kernel.packets_neighbourhood` grants.
    NeighbourhoodLimit = 15, "neighbourhood_limit", Packet, 0, 0, "Neighbourhood of the source over its packet limit";
    /// The source's /24 or /48 asks for more connections than `kernel.syns_neighbourhood` grants.
    SynNeighbourhoodLimit = 16, "syn_neighbourhood_limit", Packet, 0, 0, "Neighbourhood of the source over its SYN limit";

    /// The frame ends inside its Ethernet header.
    EthernetTruncated = 20, "ethernet_truncated", Packet, 0, 0, "Frame ends inside the Ethernet header";
    /// More than two VLAN tags, or a tag cut short.
    VlanDepth = 21, "vlan_depth", Packet, 0, 0, "More than two VLAN tags";
    /// Neither IP nor ARP.
    EtherTypeUnknown = 22, "ether_type_unknown", Packet, 0, 0, "Neither IP nor ARP";
    /// IPv4 header cut short, of a wrong version or with impossible lengths (RFC 791).
    Ipv4Malformed = 23, "ipv4_malformed", Packet, 0, 0, "Malformed IPv4 header";
    /// IPv6 header cut short, of a wrong version or with impossible lengths (RFC 8200).
    Ipv6Malformed = 24, "ipv6_malformed", Packet, 0, 0, "Malformed IPv6 header";
    /// An IPv6 header chain longer than the walk.
    ExtensionDepth = 25, "extension_depth", Packet, 0, 0, "IPv6 extension header chain too long";
    /// An IPv6 extension header that is unknown or cut short.
    ExtensionMalformed = 26, "extension_malformed", Packet, 0, 0, "Malformed IPv6 extension header";
    /// A fragment after the first: it has no ports to look at.
    LaterFragment = 27, "later_fragment", Packet, 0, 0, "Fragment after the first";
    /// TCP, UDP or ICMP header cut short or with an impossible length.
    TransportMalformed = 28, "transport_malformed", Packet, 0, 0, "Malformed transport header";

    /// A tunnel or an encryption below IP that the filter cannot see through.
    Encapsulated = 30, "encapsulated", Packet, 0, 0, "Encapsulated below IP: MPLS, PPPoE, MACsec";
    /// ARP that is not about IPv4 over Ethernet, or cut short (RFC 826).
    ArpMalformed = 31, "arp_malformed", Packet, 0, 0, "Malformed ARP";
    /// A source that no packet can come from: loopback, multicast, broadcast, unspecified.
    MartianSource = 32, "martian_source", Packet, 0, 0, "Source address no packet can come from";
    /// Source and destination are the same.
    Land = 33, "land", Packet, 0, 0, "Source address equals destination address";
    /// A source of a private network (RFC 1918, 3927, 4193, 6598).
    PrivateSource = 34, "private_source", Packet, 0, 0, "Source address of a private network";
    /// A source that is reserved or for documentation (RFC 6890).
    ReservedSource = 35, "reserved_source", Packet, 0, 0, "Source address that is routed nowhere";
    /// IPv4 options other than IGMP's router alert (RFC 7126).
    Ipv4Options = 36, "ipv4_options", Packet, 0, 0, "IPv4 options";
    /// An IPv6 next header without a meaning (RFC 7045).
    ExtensionUnknown = 37, "extension_unknown", Packet, 0, 0, "Unknown IPv6 extension header or protocol";
    /// An IPv6 routing header that still has somewhere to go, or of a withdrawn type (RFC 5095).
    RoutingHeader = 38, "routing_header", Packet, 0, 0, "IPv6 source routing";
    /// The first of several fragments.
    FirstFragment = 39, "first_fragment", Packet, 0, 0, "First of several fragments";
    /// A fragment no stack makes: it would overlap a header, overrun the packet or leave a gap.
    FragmentInvalid = 40, "fragment_invalid", Packet, 0, 0, "Impossible fragment";
    /// A combination of TCP flags no stack sends (RFC 9293).
    TcpFlags = 42, "tcp_flags", Packet, 0, 0, "Impossible TCP flags";
    /// TCP or UDP with port 0.
    PortZero = 43, "port_zero", Packet, 0, 0, "Port 0";
    /// Neighbour discovery from elsewhere than the link, or malformed (RFC 4861, RFC 6980).
    NeighbourInvalid = 44, "neighbour_invalid", Packet, 0, 0, "Invalid IPv6 neighbour discovery";
    /// ICMP echo, where it is not wanted.
    EchoRequest = 45, "echo_request", Packet, 0, 0, "ICMP echo request";
    /// Unsolicited UDP from the port of a service that is used for amplification.
    UdpAmplification = 46, "udp_amplification", Packet, 0, 0, "Unsolicited UDP from an amplifier's port";
    /// TCP or UDP to a port that is not served, under the closed policy.
    PortClosed = 47, "port_closed", Packet, 0, 0, "Port is not served";
    /// ICMP that is neither essential nor asked for, under the closed policy.
    IcmpClosed = 48, "icmp_closed", Packet, 0, 0, "ICMP that is not needed";
    /// An IP protocol that is not served, under the closed policy.
    ProtocolClosed = 49, "protocol_closed", Packet, 0, 0, "IP protocol is not served";
    /// SYNs flood in: this one was answered with a cookie and never reached the stack.
    SynCookie = 50, "syn_cookie", Packet, 0, 0, "SYN answered with a cookie";
    /// SYNs flood in, and this one was left to the stack: not to an address of this machine, with
    /// IP options or fragmented, or the kernel made no cookie for it.
    SynStack = 51, "syn_stack", Packet, 0, 0, "SYN left to the stack while cookies are on";
    /// A SYN whose IPv4 or TCP checksum is wrong, while cookies are on: an answer would go to
    /// whatever address the damage made.
    SynChecksum = 52, "syn_checksum", Packet, 0, 0, "SYN with a wrong checksum while cookies are on";
    /// A SYN that carries data, while cookies are on: a cookie keeps none, and large SYNs flood.
    SynData = 53, "syn_data", Packet, 0, 0, "SYN with data while cookies are on";
    /// A SYN above `kernel.syn_cookies.most`: answers to forged sources hit the innocent.
    SynCap = 54, "syn_cap", Packet, 0, 0, "SYN over the limit of cookie answers";

    /// The peer did not speak TLS, or not one we accept.
    TlsHandshake = 100, "tls_handshake", Request, 0, 5, "TLS handshake failed";
    /// The TLS handshake was not finished in time.
    TlsTimeout = 101, "tls_timeout", Request, 0, 2, "TLS handshake timed out";
    /// Too many connections are open, in all or from this source.
    Connections = 102, "connections", Request, 0, 1, "Too many connections";

    /// The PROXY protocol header that a listener asks for is missing, malformed, or from a peer
    /// that may not send one.
    ProxyHeader = 103, "proxy_header", Request, 0, 5, "PROXY protocol header refused";

    /// The head of the request does not parse.
    HeadMalformed = 110, "head_malformed", Request, 400, 10, "Malformed request";
    /// The head did not arrive in time.
    HeadTimeout = 111, "head_timeout", Request, 408, 5, "Request head timed out";
    /// Too many or too long header fields (RFC 6585 section 5).
    HeadTooLarge = 112, "head_too_large", Request, 431, 5, "Request header fields too large";
    /// No Host, or more than one reading of it (RFC 9112 section 3.2).
    HostInvalid = 113, "host_invalid", Request, 400, 10, "Missing or ambiguous host";
    /// The path has no single reading: dot segments, bad escapes, encoded slashes, control bytes.
    PathInvalid = 114, "path_invalid", Request, 400, 10, "Request path has no single reading";
    /// A protocol switch that no route offers.
    UpgradeRefused = 115, "upgrade_refused", Request, 501, 1, "Protocol upgrade not supported";

    /// A request target longer than a whole head may be (RFC 9110 section 15.5.15).
    TargetTooLong = 116, "target_too_long", Request, 414, 5, "Request target too long";
    /// The trailers of a chunked body are malformed, too large, or name a field that must not be
    /// one (RFC 9110 section 6.5.1).
    TrailerInvalid = 117, "trailer_invalid", Request, 400, 10, "Malformed trailers";
    /// `Connection` nominates a field that is not for one connection (RFC 9110 section 7.6.1):
    /// the supplier would miss what we judged by.
    NominationRefused = 118, "nomination_refused", Request, 400, 10, "Connection names an end-to-end field";
    /// An expectation other than `100-continue` (RFC 9110 section 10.1.1).
    ExpectationUnknown = 119, "expectation_unknown", Request, 417, 2, "Unknown expectation";

    /// No route for this host and path.
    RouteUnknown = 120, "route_unknown", Request, 404, 2, "Not found";
    /// The route does not take this method.
    MethodRefused = 121, "method_refused", Request, 405, 2, "Method not allowed";
    /// The body is over the route's cap.
    BodyTooLarge = 122, "body_too_large", Request, 413, 5, "Request body too large";
    /// The body did not arrive in time.
    BodyTimeout = 123, "body_timeout", Request, 408, 5, "Request body timed out";

    /// `Content-Length` is not one plain number: several, signed, with a comma, too large.
    LengthInvalid = 124, "length_invalid", Request, 400, 20, "Ambiguous content length";
    /// Two ways of framing in one head (RFC 9112 section 6.1): request smuggling.
    FramingConflict = 125, "framing_conflict", Request, 400, 20, "Conflicting message framing";
    /// `Transfer-Encoding` is not exactly `chunked`, in HTTP/1.1 (RFC 9112 section 6.1).
    TransferCoding = 126, "transfer_coding", Request, 400, 20, "Unsupported transfer coding";
    /// A line that does not end in CRLF, or a CR inside one (RFC 9112 section 2.2).
    LineEnding = 127, "line_ending", Request, 400, 10, "Malformed line ending";
    /// A field line that continues on the next (RFC 9112 section 5.2), or begins with white space.
    FieldFolded = 128, "field_folded", Request, 400, 10, "Folded header field";
    /// A field name that is no token, white space before the colon, a control byte in a value.
    FieldInvalid = 129, "field_invalid", Request, 400, 10, "Malformed header field";

    /// The route asks for a credential and there is none.
    CredentialMissing = 130, "credential_missing", Request, 401, 5, "Credential required";
    /// The credential cannot be one of ours, or there are several.
    CredentialMalformed = 131, "credential_malformed", Request, 401, 20, "Credential malformed";
    /// Well formed, but not one we issued.
    CredentialUnknown = 132, "credential_unknown", Request, 401, 20, "Credential not accepted";
    /// Once valid, revoked since.
    CredentialRevoked = 133, "credential_revoked", Request, 401, 10, "Credential not accepted";
    /// Once valid, expired since.
    CredentialExpired = 134, "credential_expired", Request, 401, 2, "Credential not accepted";
    /// A valid credential of another identity than the route's.
    CredentialForbidden = 135, "credential_forbidden", Request, 403, 5, "Not permitted";

    /// A field that has one value, sent twice (RFC 9110 section 5.3).
    FieldDuplicate = 136, "field_duplicate", Request, 400, 10, "Repeated header field";
    /// The request target has no form that its method takes (RFC 9112 section 3.2), or a byte that
    /// no target has.
    TargetInvalid = 137, "target_invalid", Request, 400, 10, "Malformed request target";
    /// Neither HTTP/1.1 nor HTTP/1.0 on a connection that agreed on them.
    VersionUnsupported = 138, "version_unsupported", Request, 505, 5, "HTTP version not supported";
    /// The chunks of a body are not framed as RFC 9112 section 7.1 says.
    ChunkInvalid = 139, "chunk_invalid", Request, 400, 20, "Malformed chunked body";

    /// A client over the route's limit.
    ClientLimit = 140, "client_limit", Request, 429, 5, "Too many requests";
    /// An address over the anonymous limit.
    AnonymousLimit = 141, "anonymous_limit", Request, 429, 5, "Too many requests";
    /// The limiter has no room for another key and fails as configured.
    LimiterFull = 142, "limiter_full", Request, 503, 0, "Temporarily unable to serve";
    /// More requests in flight than `proxy.requests`.
    Overloaded = 143, "overloaded", Request, 503, 0, "Temporarily unable to serve";
    /// More requests in flight than the route's `concurrency`.
    RouteBusy = 144, "route_busy", Request, 503, 0, "Temporarily unable to serve";
    /// So many requests are in flight that the rest is for routes of a higher `priority`.
    Shed = 145, "shed", Request, 503, 0, "Temporarily unable to serve";
    /// Memory is scarce (`proxy.memory`), and what is left is for what is under way and for routes
    /// of a higher `priority`.
    Memory = 183, "memory", Request, 503, 0, "Temporarily unable to serve";

    /// A request body in a content coding that the route does not take, or in several at once
    /// (RFC 9110 section 15.5.16).
    CodingUnsupported = 146, "coding_unsupported", Request, 415, 2, "Content coding not supported";
    /// A request body that is not what its content coding says.
    CodingInvalid = 147, "coding_invalid", Request, 400, 10, "Malformed encoded body";
    /// A request body that is over the route's cap once it is decoded.
    DecodedTooLarge = 148, "decoded_too_large", Request, 413, 10, "Request body too large";
    /// A request body that grows by more than the route's `encoded_ratio` as it is decoded (CWE-409).
    DecodedRatio = 149, "decoded_ratio", Request, 413, 20, "Request body too large";

    /// No connection to the supplier.
    SupplierUnreachable = 150, "supplier_unreachable", Request, 502, 0, "Supplier unreachable";
    /// The supplier did not answer in time.
    SupplierTimeout = 151, "supplier_timeout", Request, 504, 0, "Supplier timed out";
    /// The supplier's answer is not HTTP, or over the caps.
    SupplierMalformed = 152, "supplier_malformed", Request, 502, 0, "Supplier answered badly";
    /// The supplier's connection bound is reached.
    SupplierBusy = 153, "supplier_busy", Request, 503, 0, "Supplier busy";
    /// The supplier's room (`supplier.requests`) is used up, and its queue is full or too slow.
    SupplierQueue = 180, "supplier_queue", Request, 503, 0, "Supplier busy";
    /// Most requests to the supplier failed: its breaker is open.
    SupplierOpen = 181, "supplier_open", Request, 503, 0, "Supplier unavailable";
    /// The supplier's body cannot be changed as its route says.
    SupplierBody = 182, "supplier_body", Request, 502, 0, "Supplier answered badly";

    /// The client broke HTTP/2: a frame, a state or a field that RFC 9113 or RFC 7541 forbids.
    H2Protocol = 154, "h2_protocol", Request, 0, 10, "HTTP/2 protocol error";
    /// Frames that only cost: PING, SETTINGS, PRIORITY, window updates, empty DATA and their like.
    H2Flood = 155, "h2_flood", Request, 0, 20, "HTTP/2 flood";
    /// Requests reset before their answer, far more than were let end (CVE-2023-44487).
    H2ResetFlood = 156, "h2_reset_flood", Request, 0, 20, "HTTP/2 rapid reset";
    /// A preflight of an origin that the route does not name. Its visitor may know nothing of it.
    CorsRefused = 157, "cors_refused", Request, 403, 0, "Origin not permitted";

    /// The proxy is going down and takes no new request.
    Draining = 160, "draining", Request, 503, 0, "Temporarily unable to serve";
    /// A fault of ours.
    Internal = 161, "internal", Request, 500, 0, "Internal error";
    /// The client went away before the answer.
    ClientGone = 162, "client_gone", Request, 0, 0, "Client closed the connection";
    /// The client went away in its TLS handshake, or did not begin one.
    TlsAbandoned = 163, "tls_abandoned", Request, 0, 0, "Client went away before the end of its TLS handshake";
    /// The client speaks no version, cipher suite, group or protocol that we take.
    TlsIncompatible = 164, "tls_incompatible", Request, 0, 1, "Client without a TLS version, cipher or protocol in common";
    /// No certificate for the name the client asks for (SNI), and `unknown_names = "refuse"`.
    TlsNameUnknown = 165, "tls_name_unknown", Request, 0, 1, "No certificate for the name asked for";
    /// The listener asks for a client certificate and there is none.
    ClientCertificateMissing = 166, "client_certificate_missing", Request, 0, 2, "Client certificate required";
    /// A client certificate of unknown authorities, out of its time, or malformed.
    ClientCertificateInvalid = 167, "client_certificate_invalid", Request, 0, 5, "Client certificate not accepted";
    /// A client certificate that was revoked.
    ClientCertificateRevoked = 168, "client_certificate_revoked", Request, 0, 10, "Client certificate revoked";
    /// The source shakes hands more often, or more at once, than `[tls]` grants.
    HandshakeLimit = 169, "handshake_limit", Request, 0, 1, "Too many TLS handshakes";
    /// Our lists of revoked certificates are past their time, or do not cover the client's chain.
    RevocationUnknown = 170, "revocation_unknown", Request, 0, 0, "Whether the client certificate is revoked is not known";

    /// An access token that is no compact JWS: not three parts, or in the JSON form (RFC 7515).
    TokenMalformed = 300, "token_malformed", Request, 401, 20, "Credential malformed";
    /// An access token over 16 KiB.
    TokenTooLarge = 301, "token_too_large", Request, 401, 20, "Credential malformed";
    /// Proofs of possession come faster than the store of those seen can hold.
    DpopBusy = 302, "dpop_busy", Request, 503, 0, "Temporarily unable to serve";
    /// An access token that is encrypted, packed, or has another inside.
    TokenEncrypted = 303, "token_encrypted", Request, 401, 10, "Credential malformed";
    /// An access token whose base64url is not the canonical one.
    TokenEncoding = 304, "token_encoding", Request, 401, 20, "Credential malformed";
    /// An access token's header or claims are not one JSON object with each member once.
    TokenJson = 305, "token_json", Request, 401, 20, "Credential malformed";
    /// An access token signed by no algorithm that we take: `none`, or one with a shared secret.
    TokenAlgorithm = 306, "token_algorithm", Request, 401, 20, "Credential not accepted";
    /// An access token whose algorithm is not its key's (RFC 8725 section 3.1).
    TokenAlgorithmMismatch = 307, "token_algorithm_mismatch", Request, 401, 20, "Credential not accepted";
    /// An access token that brings its own key, or says where to get it: jku, x5u, jwk, x5c.
    TokenHeaderKey = 308, "token_header_key", Request, 401, 20, "Credential not accepted";
    /// An access token that asks for an extension: crit, b64 (RFC 7515 section 4.1.11).
    TokenCritical = 309, "token_critical", Request, 401, 20, "Credential not accepted";
    /// A token of another type than access tokens (RFC 9068 section 4).
    TokenType = 310, "token_type", Request, 401, 10, "Credential not accepted";
    /// An access token whose key its issuer does not have.
    TokenKeyUnknown = 311, "token_key_unknown", Request, 401, 5, "Credential not accepted";
    /// An access token whose signature is not its key's.
    TokenSignature = 312, "token_signature", Request, 401, 20, "Credential not accepted";
    /// An access token whose signature has a form that no signer makes (CVE-2022-21449).
    TokenSignatureForm = 313, "token_signature_form", Request, 401, 20, "Credential not accepted";
    /// An access token of an issuer that the route does not know.
    TokenIssuer = 314, "token_issuer", Request, 401, 10, "Credential not accepted";
    /// An access token for somebody else.
    TokenAudience = 315, "token_audience", Request, 401, 10, "Credential not accepted";
    /// An access token past its time.
    TokenExpired = 316, "token_expired", Request, 401, 1, "Credential not accepted";
    /// An access token whose time is still to come.
    TokenNotYet = 317, "token_not_yet", Request, 401, 2, "Credential not accepted";
    /// An access token without a claim that is needed, or with one that is not of its type.
    TokenClaims = 318, "token_claims", Request, 401, 10, "Credential not accepted";
    /// An access token that its issuer says is not active (RFC 7662).
    TokenInactive = 319, "token_inactive", Request, 401, 5, "Credential not accepted";
    /// The issuer's keys are not known, or known too long ago: whether a token is valid cannot be told.
    TokenKeysMissing = 320, "token_keys_missing", Request, 503, 0, "Temporarily unable to serve";
    /// The issuer does not answer what it thinks of a token.
    TokenUnknowable = 321, "token_unknowable", Request, 503, 0, "Temporarily unable to serve";
    /// An access token that is bound to nobody, where only bound ones are taken.
    TokenUnbound = 322, "token_unbound", Request, 401, 10, "Credential not accepted";
    /// An access token of another client certificate than this connection's (RFC 8705).
    TokenCertificate = 323, "token_certificate", Request, 401, 20, "Credential not accepted";
    /// The scheme is not the token's: a bound token as `Bearer`, or one that is not bound as `DPoP`.
    TokenScheme = 324, "token_scheme", Request, 401, 20, "Credential not accepted";
    /// No proof of possession, more than one, or one that cannot be read (RFC 9449 section 4.3).
    DpopMalformed = 325, "dpop_malformed", Request, 401, 10, "Proof of possession not accepted";
    /// A proof for another request, token or key.
    DpopMismatch = 326, "dpop_mismatch", Request, 401, 20, "Proof of possession not accepted";
    /// A proof that is too old, or from a time to come.
    DpopTime = 327, "dpop_time", Request, 401, 2, "Proof of possession not accepted";
    /// A proof that was used before.
    DpopReplayed = 328, "dpop_replayed", Request, 401, 20, "Proof of possession not accepted";
    /// A proof without the nonce we gave, or with one whose time is over (RFC 9449 section 9).
    DpopNonce = 329, "dpop_nonce", Request, 401, 0, "Proof of possession needs a nonce";

    /// The route's contract has no such path.
    ContractPath = 430, "contract_path", Request, 404, 2, "Not found";
    /// The route's contract does not have this method on the path.
    ContractMethod = 431, "contract_method", Request, 405, 2, "Method not allowed";
    /// A parameter is missing, or not what the contract takes.
    ContractParameter = 432, "contract_parameter", Request, 400, 2, "Parameter not accepted";
    /// A parameter or member that the contract does not name.
    ContractUnknown = 433, "contract_unknown", Request, 400, 2, "Unknown parameter or member";
    /// A media type that the contract does not take.
    ContractMediaType = 434, "contract_media_type", Request, 415, 2, "Media type not supported";
    /// A body that is not what its media type says.
    ContractUnreadable = 435, "contract_unreadable", Request, 400, 5, "Malformed request body";
    /// A body that is missing, or not what the contract takes.
    ContractBody = 436, "contract_body", Request, 422, 2, "Request body not accepted";
    /// A supplier's answer that the contract does not promise.
    ContractAnswer = 437, "contract_answer", Request, 502, 0, "Supplier answered badly";

    /// Rules found an attack of none of the kinds below.
    WafRule = 450, "waf_rule", Request, 403, 10, "Request refused";
    /// Rules found a breach of the protocol.
    WafProtocol = 451, "waf_protocol", Request, 403, 5, "Request refused";
    /// Rules found a scanner.
    WafScanner = 452, "waf_scanner", Request, 403, 30, "Request refused";
    /// Rules found SQL injection.
    WafSql = 453, "waf_sql", Request, 403, 25, "Request refused";
    /// Rules found cross-site scripting, or a session fixed from outside.
    WafScript = 454, "waf_script", Request, 403, 15, "Request refused";
    /// Rules found a file that is not to be reached.
    WafFile = 455, "waf_file", Request, 403, 25, "Request refused";
    /// Rules found the injection of commands or code.
    WafCommand = 456, "waf_command", Request, 403, 30, "Request refused";
    /// Rules found in a supplier's answer what is not to leave.
    WafAnswer = 457, "waf_answer", Request, 502, 0, "Supplier answered badly";
    /// The request is over what the firewall may look at, by size or by work.
    WafUninspected = 458, "waf_uninspected", Request, 413, 2, "Request too large to be inspected";
    /// A body that is not what its media type says, so that rules could not see it.
    WafUnreadable = 459, "waf_unreadable", Request, 400, 5, "Malformed request body";

    /// Banned by `gateway block add`.
    Operator = 200, "operator", Ban, 0, 0, "Banned by the operator";
    /// Banned by `gateway block import`.
    Import = 201, "import", Ban, 0, 0, "Banned by an imported list";
    /// Banned by a threat feed.
    Feed = 202, "feed", Ban, 0, 0, "Banned by a threat feed";
}

impl Reason {
    /// The number in maps, events and the store.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The label in metrics, logs and the command line.
    pub const fn name(self) -> &'static str {
        self.info().name
    }
}

impl core::fmt::Display for Reason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_unique_and_round_trip() {
        for (i, a) in Reason::ALL.iter().enumerate() {
            assert_eq!(Reason::from_number(a.number()), Some(*a));
            for b in Reason::ALL.iter().skip(i + 1) {
                assert_ne!(a.number(), b.number());
                assert_ne!(a.name(), b.name());
            }
        }
    }

    #[test]
    fn packet_reasons_fit_the_kernel_array_and_requests_have_a_status_or_no_answer() {
        for reason in Reason::ALL {
            let info = reason.info();
            match info.plane {
                Plane::Packet => assert!((reason.number() as usize) < PACKET_REASONS),
                Plane::Request => assert!(info.status == 0 || (400..600).contains(&info.status)),
                Plane::Ban => assert!(reason.number() >= 200),
            }
        }
    }
}
