//! `gateway check`: every fault of a configuration file at once, or what it would serve.

use std::path::PathBuf;

use super::{
    output::{self, table},
    source,
};
use crate::config::{
    self,
    model::{Config, Destination, IdentityMethod, Route, Share, SupplierKind},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file; /etc/gateway/gateway.toml if left out.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let source = source::read(self.file.as_deref())?;
        output::print(&show(&source.config, &source.origin))
    }
}

/// What the configuration comes to: above all, which routes are open to everybody.
pub(crate) fn show(config: &Config, origin: &str) -> String {
    let mut parts = vec![format!("{} is good", output::escape(origin))];
    let interfaces = config.kernel.interfaces.join(", ");
    let filter = if config.kernel.enabled { interfaces } else { "off".to_owned() };
    parts.push(format!("packet filter: {filter}"));
    let listeners = config.listeners.iter().map(|listener| {
        let certificate = listener.tls.dated_files().join(", ");
        [listener.address.to_string(), certificate]
    });
    parts.push(table(["LISTENER", "CERTIFICATE"], listeners));
    parts.push(table(
        ["ROUTE", "METHODS", "HOST", "PATH", "OPEN TO", "SUPPLIER"],
        config.routes.iter().map(|route| row(route, config)),
    ));
    let warnings = config::warnings(config);
    parts.extend(warnings.iter().map(|warning| format!("warning: {}", output::escape(warning))));
    parts.join("\n\n")
}

fn row(route: &Route, config: &Config) -> [String; 6] {
    let methods: Vec<&str> = route.methods.iter().map(http::Method::as_str).collect();
    let methods = if methods.is_empty() { "any".to_owned() } else { methods.join(",") };
    let identity =
        config.identities.iter().find(|known| Some(&known.name) == route.identity.as_ref());
    let open_to = identity.map_or("EVERYBODY".to_owned(), |identity| match &identity.method {
        IdentityMethod::ApiKey { header } => format!("{} (API key in {header})", identity.name),
        IdentityMethod::Tokens(tokens) => {
            format!("{} (tokens of {})", identity.name, tokens.issuer)
        }
    });
    [
        route.name.clone(),
        methods,
        route.host.clone().unwrap_or("any".to_owned()),
        route.path.clone(),
        open_to,
        destination(route, config),
    ]
}

fn destination(route: &Route, config: &Config) -> String {
    let forward = match &route.destination {
        Destination::Forward(forward) => forward,
        Destination::Redirect(redirect) => {
            let origin = redirect.origin.as_deref().unwrap_or_default();
            return format!("{} to {origin}{}", redirect.status, redirect.path.text());
        }
    };
    let total: u32 = forward.shares.iter().map(|share| share.weight).sum();
    let share = |share: &Share| {
        let supplier = config.suppliers.iter().find(|one| one.name == share.supplier);
        let echo = supplier.is_some_and(|supplier| supplier.kind == SupplierKind::Echo);
        let echo = if echo { " (built in)" } else { "" };
        let part = match forward.shares.len() {
            1 => String::new(),
            _ => format!(" {:.1}%", f64::from(share.weight) * 100.0 / f64::from(total.max(1))),
        };
        format!("{}{echo}{part}", share.supplier)
    };
    forward.shares.iter().map(share).collect::<Vec<_>>().join(", ")
}
