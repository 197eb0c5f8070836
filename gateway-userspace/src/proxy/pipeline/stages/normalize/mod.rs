//! One reading of host and path, so that no later stage, and not the supplier, sees another.
//! Stops path and host confusion (CWE-22, CWE-436); says nothing about what a path may name.

mod cookies;
mod host;
mod path;

use std::borrow::Cow;

use gateway_common::Reason;
use http::{HeaderValue, Method, Version, header::ALLOW, request::Parts};

use crate::{
    config::model,
    proxy::{
        http1,
        pipeline::{
            context::{RequestContext, Target},
            decision::{Decision, Refusal},
        },
    },
};

/// What `CONNECT` may be replaced by, and what the gateway itself takes: no path is named, so no route
/// can say.
pub(crate) const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// What each field counts beside its bytes (RFC 9113 section 6.5.2).
const FIELD: usize = 32;

/// How much of a head there may be, whatever version carries it.
#[derive(Debug)]
pub(crate) struct Normalize {
    head_bytes: usize,
    head_fields: usize,
}

impl Normalize {
    pub(crate) fn from_config(proxy: &model::Proxy) -> Self {
        Self { head_bytes: proxy.head_bytes as usize, head_fields: proxy.head_fields.into() }
    }

    pub(crate) fn check(&self, context: &mut RequestContext) -> Decision {
        cookies::join(&mut context.head.headers);
        if context.head.method == Method::CONNECT && context.is_extended_connect() {
            // It names a path, and asks for what a GET asks for in HTTP/1.1: so it is judged by.
            context.head.method = Method::GET;
        }
        match self.fields(&context.head).and_then(|()| target(context)) {
            Ok(target) => {
                context.target = Some(target);
                Decision::Continue
            }
            Err(refusal) => refusal.into(),
        }
    }

    /// HTTP/1.1 heads were judged and counted as they were read. The h2 library knows no bound on fields, and
    /// what it refuses for its size it tells nobody: its bound is above this one.
    fn fields(&self, head: &Parts) -> Result<(), Refusal> {
        if head.version != Version::HTTP_2 {
            return Ok(());
        }
        http1::check(&head.headers).map_err(|fault| Refusal::new(fault.reason, fault.detail))?;
        if head.headers.len() > self.head_fields {
            return Err(Refusal::new(Reason::HeadTooLarge, "proxy.head_fields"));
        }
        let fields = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
        let target = head.uri.path_and_query().map_or(0, |path| path.as_str().len());
        if fields.map(|bytes| bytes + FIELD).sum::<usize>() + target > self.head_bytes {
            return Err(Refusal::new(Reason::HeadTooLarge, "proxy.head"));
        }
        Ok(())
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
    let whole = head.uri.path();
    if head.method == Method::OPTIONS && whole == "*" {
        return Ok(Target { sent_host: host.sent, host: host.name, rewritten: None });
    }
    let path =
        path::read(whole).map_err(|fault| Refusal::new(Reason::PathInvalid, fault.to_string()))?;
    let rewritten = match path {
        Cow::Borrowed(_) => None,
        Cow::Owned(path) => Some(path),
    };
    Ok(Target { sent_host: host.sent, host: host.name, rewritten })
}
