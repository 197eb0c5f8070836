//! Where a route leads: the part of the model that says what becomes of a request it takes.

use super::matching::Template;

/// What a route does with its requests.
#[derive(Debug, Clone, PartialEq)]
pub enum Destination {
    Forward(Forward),
    Redirect(Redirect),
}

/// To suppliers.
#[derive(Debug, Clone, PartialEq)]
pub struct Forward {
    /// At least one.
    pub shares: Vec<Share>,
    /// The same client gets the same supplier, as long as the shares stay.
    pub sticky: bool,
    /// The path the supplier sees instead of the client's.
    pub rewrite: Option<Template>,
    pub mirror: Option<Mirror>,
}

/// A supplier's part of a route's requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    pub supplier: String,
    /// At least 1.
    pub weight: u32,
}

/// Copies of requests, whose answers nobody waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    pub supplier: String,
    /// Of the route's requests, 1 to 100.
    pub percent: u32,
    /// Whether `Authorization` and `Cookie` go along.
    pub credentials: bool,
}

/// Elsewhere. The host is never made from what a client sends.
#[derive(Debug, Clone, PartialEq)]
pub struct Redirect {
    /// `https://host[:port]`; `None` stays on the host the client asked.
    pub origin: Option<String>,
    pub path: Template,
    pub status: u16,
    /// Whether the client's query goes along.
    pub query: bool,
}

impl Forward {
    /// All requests to one supplier, as they are.
    pub fn to(supplier: &str) -> Self {
        let shares = vec![Share { supplier: supplier.to_owned(), weight: 1 }];
        Self { shares, sticky: false, rewrite: None, mirror: None }
    }
}

impl Destination {
    /// All requests to one supplier, as they are.
    pub fn supplier(name: &str) -> Self {
        Self::Forward(Forward::to(name))
    }

    /// The suppliers whose answers clients get.
    pub fn suppliers(&self) -> impl Iterator<Item = &str> {
        let shares = match self {
            Self::Forward(forward) => forward.shares.as_slice(),
            Self::Redirect(_) => &[],
        };
        shares.iter().map(|share| share.supplier.as_str())
    }

    /// The path suppliers see, where it is not the client's.
    pub fn rewrite(&self) -> Option<&Template> {
        match self {
            Self::Forward(forward) => forward.rewrite.as_ref(),
            Self::Redirect(_) => None,
        }
    }
}
