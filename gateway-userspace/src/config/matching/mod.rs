//! How a request meets a route: the place (host and path), the conditions, and the templates that
//! paths are made from. One definition for the proxy that routes, for the check that two routes
//! contradict each other, and for the search for ways around a guarded one.

mod condition;
mod place;
mod template;

pub use condition::{Conditions, Test};
pub use place::{Found, Places};
pub(super) use place::{WILDCARD, sample_host};
pub use template::Template;
