//! One reading of host and path, so that no later stage, and not the supplier, sees another.
//! Stops path and host confusion (CWE-22, CWE-436); says nothing about what a path may name.

mod host;
mod path;

use std::borrow::Cow;

use gateway_common::Reason;
use http::{HeaderValue, Method, header::ALLOW};

use crate::proxy::pipeline::{
    context::{RequestContext, Target},
    decision::{Decision, Refusal},
};

/// What `CONNECT` may be replaced by: it names no path, so no route can say.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

pub(crate) fn check(context: &mut RequestContext) -> Decision {
    match target(context) {
        Ok(target) => {
            context.target = Some(target);
            Decision::Continue
        }
        Err(refusal) => refusal.into(),
    }
}

fn target(context: &RequestContext) -> Result<Target, Refusal> {
    let head = &context.head;
    if head.method == Method::CONNECT {
        return Err(Refusal::new(Reason::MethodRefused, "CONNECT")
            .with_header(ALLOW, HeaderValue::from_static(METHODS)));
    }
    let host = host::read(&head.uri, &head.headers)
        .map_err(|fault| Refusal::new(Reason::HostInvalid, fault.to_string()))?;
    let path = path::read(head.uri.path())
        .map_err(|fault| Refusal::new(Reason::PathInvalid, fault.to_string()))?;
    let rewritten = match path {
        Cow::Borrowed(_) => None,
        Cow::Owned(path) => Some(path),
    };
    Ok(Target { sent_host: host.sent, host: host.name, rewritten })
}
