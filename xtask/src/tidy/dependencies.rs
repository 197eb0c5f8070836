//! Who may depend on whom in gateway-userspace. The rules are the invariants of ARCHITECTURE.md,
//! each an absence. Between the workspace's members the manifests and `no_std` see to it.

use super::{Fault, Source, paths};

/// What a module may not name.
struct Rule {
    /// The module, from the crate's root; empty is the whole crate.
    scope: &'static str,
    verdict: Verdict,
    /// Paths, or modules below the scope, that are exempt.
    except: &'static [&'static str],
    why: &'static str,
}

enum Verdict {
    /// Of this crate's modules only these.
    Only(&'static [&'static str]),
    /// None of these modules and crates.
    Never(&'static [&'static str]),
}

use Verdict::{Never, Only};

const RULES: &[Rule] = &[
    Rule { scope: "clock", verdict: Only(&[]), except: &[], why: "everything stands on it" },
    Rule {
        scope: "config",
        verdict: Only(&["control", "clock"]),
        except: &[],
        why: "a setting knows nothing of what it sets",
    },
    Rule {
        scope: "ipc",
        verdict: Only(&["clock"]),
        except: &[],
        why: "the protocol does not know what either side does with a message",
    },
    Rule {
        scope: "guard",
        verdict: Never(&["proxy", "cli", "app", "hyper", "hyper_util", "rustls", "tokio_rustls"]),
        except: &[],
        why: "the guard parses nothing that a stranger sent",
    },
    Rule {
        scope: "",
        verdict: Never(&["aya"]),
        except: &["guard::kernel"],
        why: "only guard::kernel touches the kernel",
    },
    Rule {
        scope: "",
        verdict: Never(&["redb"]),
        except: &["guard::store"],
        why: "the store has one writer",
    },
    Rule {
        scope: "",
        verdict: Never(&["prometheus_client"]),
        except: &["telemetry"],
        why: "stages and suppliers do not report by name",
    },
    Rule {
        scope: "proxy",
        verdict: Never(&["guard", "cli", "app"]),
        except: &[],
        why: "the proxy asks over ipc; the guard decides",
    },
    Rule {
        scope: "proxy::router",
        verdict: Only(&["config::model"]),
        except: &[],
        why: "a route carries settings, not code",
    },
    Rule {
        scope: "proxy::pipeline",
        verdict: Never(&["proxy::net", "proxy::tls"]),
        except: &[],
        why: "the pipeline gets a finished peer",
    },
    Rule {
        scope: "proxy::pipeline::stages",
        verdict: Never(&["proxy::upstream", "proxy::feedback", "ipc", "telemetry"]),
        except: &[],
        why: "a stage decides; the runner acts and reports",
    },
    Rule {
        scope: "proxy::net",
        verdict: Never(&["proxy::pipeline::stages"]),
        except: &[],
        why: "the list alone names stages",
    },
    Rule {
        scope: "proxy::tls",
        verdict: Never(&["proxy::pipeline::stages"]),
        except: &[],
        why: "the list alone names stages",
    },
    Rule {
        scope: "telemetry",
        verdict: Never(&["guard", "cli", "app"]),
        except: &[],
        why: "it is told, it does not ask around",
    },
    Rule {
        scope: "app",
        verdict: Never(&["cli"]),
        except: &[],
        why: "the command line starts the app",
    },
    Rule {
        scope: "doctor",
        verdict: Only(&["config::model", "guard::kernel"]),
        except: &[],
        why: "it looks at the machine, not at a running gateway",
    },
    Rule {
        scope: "cli",
        verdict: Never(&["guard", "proxy"]),
        except: &[
            "guard::run",
            "guard::Options",
            "guard::GuardError",
            "proxy::run",
            "proxy::pipeline::describe",
            "proxy::pipeline::Line",
        ],
        why: "commands speak over the control socket",
    },
];

const USERSPACE: &str = "gateway-userspace/src/";
const STAGES: &str = "proxy::pipeline::stages";

pub(super) fn check(source: &Source, faults: &mut Vec<Fault>) {
    if !source.is_rust() || source.path.ends_with("/tests.rs") || source.path.contains("/tests/") {
        return;
    }
    let Some(file) = source.path.strip_prefix(USERSPACE) else { return };
    let found = userspace(&module(file), &source.text);
    let file = || source.path.clone();
    faults.extend(found.into_iter().map(|(line, what)| Fault { file: file(), line, what }));
}

fn userspace(module: &str, text: &str) -> Vec<(usize, String)> {
    let mut faults = Vec::new();
    for named in paths::named(text) {
        let Some(target) = resolve(module, &named.path) else { continue };
        for rule in RULES {
            if broken(rule, module, &target) {
                faults.push((named.line, format!("{module} names {}: {}", target.path, rule.why)));
            }
        }
        if other_stage(module, &target) {
            faults.push((named.line, format!("{module} names {}: another stage", target.path)));
        }
    }
    faults
}

/// What a path leads to.
struct Target {
    path: String,
    /// Of this crate, else of a dependency.
    ours: bool,
}

/// `proxy::net::accept` of `proxy/net/accept.rs`; empty for the crate's root.
fn module(file: &str) -> String {
    let stem = file.strip_suffix(".rs").unwrap_or(file);
    let stem = stem.strip_suffix("mod").map_or(stem, |folder| folder.trim_end_matches('/'));
    if stem == "lib" { String::new() } else { stem.replace('/', "::") }
}

/// The path from the crate's root, or as it is for a dependency.
fn resolve(module: &str, path: &[String]) -> Option<Target> {
    let mut place: Vec<&str> = module.split("::").filter(|part| !part.is_empty()).collect();
    let mut rest = path.iter().map(String::as_str).peekable();
    match *rest.peek()? {
        "crate" | "gateway_userspace" => place.clear(),
        "self" => {}
        "super" => {
            place.pop();
        }
        _ => return Some(Target { path: path.join("::"), ours: false }),
    }
    rest.next();
    for part in rest {
        if part == "super" {
            place.pop();
        } else {
            place.push(part);
        }
    }
    Some(Target { path: place.join("::"), ours: true })
}

fn broken(rule: &Rule, module: &str, target: &Target) -> bool {
    let exempt = rule.except.iter().any(|path| within(module, path) || within(&target.path, path));
    if !within(module, rule.scope) || exempt {
        return false;
    }
    match rule.verdict {
        Never(list) => list.iter().any(|path| within(&target.path, path)),
        Only(list) => {
            let allowed = list.iter().any(|path| within(&target.path, path));
            target.ours && !allowed && !within(&target.path, rule.scope)
        }
    }
}

/// Stages know each other only through the context.
fn other_stage(module: &str, target: &Target) -> bool {
    let own = module.strip_prefix(STAGES).and_then(|rest| rest.split("::").nth(1));
    let named = target.path.strip_prefix(STAGES).and_then(|rest| rest.split("::").nth(1));
    matches!((own, named), (Some(own), Some(named)) if own != named)
}

/// Whether `path` is `scope` or below it.
fn within(path: &str, scope: &str) -> bool {
    let rest = path.strip_prefix(scope);
    scope.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_that_names_the_proxy_is_found() {
        let faults = userspace("guard::worker", "use crate::{clock, proxy::pipeline};\n");
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].0, 1);
    }

    #[test]
    fn a_stage_may_not_name_another_but_may_name_itself() {
        let module = "proxy::pipeline::stages::authenticate";
        assert_eq!(userspace(module, "use super::normalize::Path;\n").len(), 1);
        assert!(userspace(module, "use self::key::Key;\nuse crate::clock::now;\n").is_empty());
    }

    #[test]
    fn exemptions_hold_for_modules_and_for_paths() {
        assert!(userspace("guard::kernel::attach", "use aya::Ebpf;\n").is_empty());
        assert_eq!(userspace("guard::bans", "use aya::Ebpf;\n").len(), 1);
        assert!(userspace("cli::run", "use crate::guard::{Options, run};\n").is_empty());
        assert_eq!(userspace("cli::block", "use crate::guard::store::Store;\n").len(), 1);
    }

    #[test]
    fn files_become_modules() {
        assert_eq!(module("lib.rs"), "");
        assert_eq!(module("guard/mod.rs"), "guard");
        assert_eq!(module("proxy/net/accept.rs"), "proxy::net::accept");
    }
}
