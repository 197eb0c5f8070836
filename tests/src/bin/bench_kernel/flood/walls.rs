//! What stands between the flood and the gateway: nothing, the gateway's own filter, nftables, or
//! ipset; each with the same list, each as its documentation would have it for speed.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context, Result};
use gateway_tests::{
    gateway::Gateway,
    lab::INTERFACE,
    netns::{Namespace, command},
};
use ipnet::IpNet;

use crate::changes::{import, write_list};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Wall {
    Nothing,
    Gateway,
    Nftables,
    Ipset,
}

impl Wall {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "no filter",
            Self::Gateway => "gateway (XDP)",
            Self::Nftables => "nftables",
            Self::Ipset => "ipset + iptables",
        }
    }

    /// Puts it up with this list.
    pub(crate) fn raise(
        self,
        inside: &Namespace,
        gateway: &Gateway<'_>,
        nets: &[IpNet],
    ) -> Result<()> {
        let file = gateway.folders.root.join("list");
        match self {
            Self::Nothing => Ok(()),
            Self::Gateway => {
                write_list(nets, &file)?;
                import(gateway, &file)
            }
            Self::Nftables => nftables(inside, nets, &file),
            Self::Ipset => ipset(inside, nets, &file),
        }
    }

    /// Packets it dropped since it stands, as it counts them itself.
    pub(crate) fn dropped(self, inside: &Namespace, gateway: &Gateway<'_>) -> Result<u64> {
        match self {
            Self::Nothing => Ok(0),
            Self::Gateway => {
                let counters = gateway.status()?.kernel.counters;
                let passed = ["passed", "allowed", "arp", "panic_pass"];
                let drops =
                    counters.iter().filter(|count| !passed.contains(&count.reason.as_str()));
                Ok(drops.map(|count| count.packets).sum())
            }
            Self::Nftables => {
                // Terse, or it reads a million elements first.
                let list = ["--terse", "list", "counters", "table", "netdev", "wall"];
                let text = inside.run(|| command("nft", &list))?;
                Ok(sum_after(&text, "packets"))
            }
            Self::Ipset => {
                let list = ["-t", "raw", "-S", "PREROUTING", "-v"];
                let text = inside.run(|| command("iptables", &list))?;
                Ok(sum_after(&text, "-c"))
            }
        }
    }

    /// Takes down what is not the gateway's.
    pub(crate) fn raze(self, inside: &Namespace) -> Result<()> {
        match self {
            Self::Nothing | Self::Gateway => Ok(()),
            Self::Nftables => inside.run(|| command("nft", &["flush", "ruleset"]).map(drop)),
            Self::Ipset => inside.run(|| {
                command("iptables", &["-t", "raw", "-F"])?;
                command("ipset", &["destroy"]).map(drop)
            }),
        }
    }
}

/// The sum of the numbers that follow `word`.
fn sum_after(text: &str, word: &str) -> u64 {
    let mut words = text.split_whitespace();
    let mut sum = 0;
    while words.any(|found| found == word) {
        sum += words.next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0);
    }
    sum
}

fn split(nets: &[IpNet]) -> (Vec<&IpNet>, Vec<&IpNet>) {
    nets.iter().partition(|net| net.prefix_len() == net.max_prefix_len())
}

/// In the ingress hook, the first that nftables has, before the stack has looked at the packet:
/// hosts in a hash set, prefixes in an interval set.
fn nftables(inside: &Namespace, nets: &[IpNet], file: &Path) -> Result<()> {
    let (hosts, prefixes) = split(nets);
    let mut text = String::from(
        "table netdev wall {\n counter dropped { }\n set hosts { type ipv4_addr; size 1100000; elements = {",
    );
    for host in hosts {
        write!(text, "{},", host.addr())?;
    }
    text.push_str("} }\n set prefixes { type ipv4_addr; flags interval; elements = {");
    for prefix in prefixes {
        write!(text, "{prefix},")?;
    }
    write!(
        text,
        "}} }}\n chain ingress {{ type filter hook ingress device \"{INTERFACE}\" priority 0; policy accept;\n  \
         ip saddr @hosts counter name dropped drop\n  ip saddr @prefixes counter name dropped drop\n }}\n}}\n"
    )?;
    fs::write(file, text).context("writing nftables' rules")?;
    load(inside, "nft", &["-f"], file)
}

/// In the raw table, before connection tracking.
fn ipset(inside: &Namespace, nets: &[IpNet], file: &Path) -> Result<()> {
    let (hosts, prefixes) = split(nets);
    let mut text = String::from(
        "create hosts hash:ip hashsize 1048576 maxelem 1100000\n\
         create prefixes hash:net hashsize 131072 maxelem 200000\n",
    );
    for host in hosts {
        writeln!(text, "add hosts {}", host.addr())?;
    }
    for prefix in prefixes {
        writeln!(text, "add prefixes {prefix}")?;
    }
    fs::write(file, text).context("writing ipset's sets")?;
    load(inside, "ipset", &["restore", "-file"], file)?;
    for set in ["hosts", "prefixes"] {
        let rule = ["-t", "raw", "-A", "PREROUTING", "-m", "set", "--match-set", set, "src"];
        inside.run(|| command("iptables", &[&rule[..], &["-j", "DROP"]].concat()).map(drop))?;
    }
    Ok(())
}

fn load(inside: &Namespace, program: &str, arguments: &[&str], file: &Path) -> Result<()> {
    let file = file.to_str().context("naming a list")?;
    inside.run(|| command(program, &[arguments, &[file]].concat()).map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_counters_of_both() {
        let nft = "table netdev wall {\n counter dropped {\n packets 12 bytes 720\n }\n}\n";
        assert_eq!(sum_after(nft, "packets"), 12);
        let iptables = "-P PREROUTING ACCEPT -c 9 540\n-A PREROUTING -m set -c 5 300 -j DROP\n";
        assert_eq!(sum_after(iptables, "-c"), 14);
    }
}
