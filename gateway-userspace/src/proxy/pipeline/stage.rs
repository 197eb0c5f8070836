//! The measures by name, and what a listing says of each. Three types, one a list: a stage that
//! needs a route cannot be put before the router.

/// Before a route is known. A stage here sees no identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    Admission,
    ClientAddress,
    Normalize,
    AnonymousLimit,
}

/// With a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routed {
    Shed,
    Cors,
    MethodAndSize,
    Decompress,
    Waf,
    Authenticate,
    ClientLimit,
}

/// With the caller known, and the body at hand as far as a stage wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bodied {
    Waf,
    Contract,
}

/// On every response, the gateway's own refusals included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Responding {
    Waf,
    Contract,
    Transform,
    Compress,
    Cors,
    Harden,
}

/// What a listing says of a stage. The name is also its folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    pub name: &'static str,
    pub purpose: &'static str,
}

impl Edge {
    pub const fn describe(self) -> Description {
        let (name, purpose) = match self {
            Self::Admission => (
                "admission",
                "counts the request until its response body ends; sheds above proxy.requests",
            ),
            Self::ClientAddress => (
                "client_address",
                "who asks, by the word of trusted proxies alone; other claims end here",
            ),
            Self::Normalize => {
                ("normalize", "one reading of host and path, which the supplier gets too")
            }
            Self::AnonymousLimit => {
                ("anonymous_limit", "limits each address before anything is known about its caller")
            }
        };
        Description { name, purpose }
    }
}

impl Routed {
    pub const fn describe(self) -> Description {
        let (name, purpose) = match self {
            Self::Shed => {
                ("shed", "the route's own concurrency, and who goes first when all are busy")
            }
            Self::Cors => ("cors", "answers preflights; finds who else may read the answer"),
            Self::MethodAndSize => (
                "method_and_size",
                "the route's methods and body cap, before a byte of the body is read",
            ),
            Self::Decompress => (
                "decompress",
                "unpacks encoded request bodies within bounds, or refuses them, as the route says",
            ),
            Self::Waf => ("waf", "the firewall's rules on the head of the request"),
            Self::Authenticate => {
                ("authenticate", "exactly one valid credential of the route's identity")
            }
            Self::ClientLimit => ("client_limit", "the route's own limit, by client or address"),
        };
        Description { name, purpose }
    }
}

impl Bodied {
    pub const fn describe(self) -> Description {
        let (name, purpose) = match self {
            Self::Waf => ("waf", "the firewall's rules on the body, and what all of them come to"),
            Self::Contract => {
                ("contract", "the route's OpenAPI contract: what it does not know ends here")
            }
        };
        Description { name, purpose }
    }
}

impl Responding {
    pub const fn describe(self) -> Description {
        let (name, purpose) = match self {
            Self::Waf => ("waf", "the firewall's rules on the supplier's answer; ends its work"),
            Self::Contract => ("contract", "whether the answer is one that the contract promises"),
            Self::Transform => (
                "transform",
                "the route's changes of a supplier's answer; hides what it says of its own faults",
            ),
            Self::Compress => (
                "compress",
                "packs answers for clients that take it, where no length tells a secret",
            ),
            Self::Cors => {
                ("cors", "who else may read the answer, in place of the supplier's words")
            }
            Self::Harden => (
                "harden",
                "drops hop-by-hop and revealing fields, adds the request id and protective ones",
            ),
        };
        Description { name, purpose }
    }
}
