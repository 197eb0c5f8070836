//! The command line: one subcommand a file. Commands about a running gateway ask its guard over
//! the control socket; none of them touches the kernel or the store itself.

mod acme;
mod allow;
mod block;
mod check;
mod client;
mod completions;
mod diff;
mod doctor;
mod events;
mod key;
mod man;
mod output;
mod panic;
mod pipeline;
mod policy;
mod privileges;
mod reload;
mod run;
mod shadow;
mod source;
mod status;
mod upgrade;
mod why;
mod worker;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::config::places;

/// Heading of the options that every command has.
const GENERAL: &str = "General options";

/// An XDP firewall and an API gateway that act as one.
#[derive(Debug, Parser)]
#[command(name = "gateway", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// Control socket of the running gateway.
    #[arg(long, global = true, env = "GATEWAY_SOCKET", value_name = "PATH",
          help_heading = GENERAL)]
    socket: Option<PathBuf>,
    /// What is logged: a level, or levels by module (`info,gateway_userspace::guard=debug`).
    #[arg(long, global = true, env = "GATEWAY_LOG", help_heading = GENERAL, value_name = "FILTER", default_value = "info",
          value_parser = filter)]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway.
    Run(run::Args),
    /// Check a configuration file and tell every fault at once.
    Check(check::Args),
    /// Show what the gateway is doing.
    Status(status::Args),
    /// Explain what keeps the packet filter from running, or from running at its best.
    Doctor(doctor::Args),
    /// Show the stages a request goes through, in order.
    Pipeline(pipeline::Args),
    /// Ban addresses and prefixes in the kernel.
    #[command(subcommand)]
    Block(block::Command),
    /// Let addresses and prefixes pass, within the limit of allowed traffic.
    #[command(subcommand)]
    Allow(allow::Command),
    /// Explain what happened to an address or a request.
    Why(why::Args),
    /// Show packets that the filter dropped, as they come or as a capture file.
    Events(events::Args),
    /// Show and renew certificates that are issued by themselves.
    #[command(subcommand)]
    Acme(acme::Command),
    /// Make and revoke API keys.
    #[command(subcommand)]
    Key(key::Command),
    /// Switch the packet filter off in an emergency, and on again.
    #[command(subcommand)]
    Panic(panic::Command),
    /// Try a changed [kernel], and keep it or go back.
    #[command(subcommand)]
    Policy(policy::Command),
    /// Read the configured file again: all of it comes into force, or nothing.
    Reload(reload::Args),
    /// Show what a file would change of the running configuration, and how.
    Diff(diff::Args),
    /// Go over to the installed program and the configured file; no request is refused.
    Upgrade(upgrade::Args),
    /// Count what would be dropped instead of dropping it.
    #[command(subcommand)]
    Shadow(shadow::Command),
    /// Print completions for a shell.
    Completions(completions::Args),
    /// Print the manual page, or write a page for every command.
    Man(man::Args),
    /// The unprivileged process; started by the guard.
    #[command(hide = true)]
    ProxyWorker,
}

/// What commands need besides their own arguments.
struct Context {
    socket: PathBuf,
}

/// Runs the command of these arguments, the first being the program's name. 0 done, 1 refused or
/// failed, 2 wrong usage; of `diff`, as of diff(1), 0 the same, 1 different, 2 failed.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(help) => {
            // Nothing is left to do if the terminal is gone.
            drop(help.print());
            return ExitCode::from(u8::try_from(help.exit_code()).unwrap_or(2));
        }
    };
    let context = Context { socket: cli.socket.unwrap_or_else(socket) };
    match dispatch(cli.command, &cli.log, &context) {
        Ok(code) => code,
        Err(error) => {
            output::complain(&format!("gateway: {}", output::chain(&error)));
            ExitCode::from(1)
        }
    }
}

fn dispatch(command: Command, log: &str, context: &Context) -> anyhow::Result<ExitCode> {
    let done = match command {
        Command::Run(args) => args.run(log),
        Command::Check(args) => args.run(),
        Command::Status(args) => args.run(context),
        Command::Doctor(args) => args.run(),
        Command::Pipeline(args) => args.run(),
        Command::Block(command) => command.run(context),
        Command::Allow(command) => command.run(context),
        Command::Why(args) => args.run(context),
        Command::Events(args) => args.run(context),
        Command::Acme(command) => command.run(context),
        Command::Key(command) => command.run(context),
        Command::Panic(command) => command.run(context),
        Command::Policy(command) => command.run(context),
        Command::Reload(args) => args.run(context),
        Command::Diff(args) => return Ok(args.run(context)),
        Command::Upgrade(args) => args.run(context),
        Command::Shadow(command) => command.run(context),
        Command::Completions(args) => args.run(),
        Command::Man(args) => args.run(),
        Command::ProxyWorker => worker::run(log),
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// Our own gateway's socket if there is one, else the system's: a member of its group has none of
/// their own.
fn socket() -> PathBuf {
    let own = places::of_this_process().run.join("control.sock");
    if own.exists() { own } else { Path::new("/run/gateway/control.sock").to_owned() }
}

fn filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// Starts logging to standard error, for the processes that stay.
fn start_log(filter: &str) -> anyhow::Result<()> {
    use std::io::IsTerminal;
    let started = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(filter)?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
    started.map_err(|error| anyhow::anyhow!("starting the log: {error}"))
}

#[cfg(test)]
mod tests;
