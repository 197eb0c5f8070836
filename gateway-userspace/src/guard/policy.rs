//! Which `[kernel]` holds: the one confirmed last, and for a while the one on trial. The file is
//! the only truth, but what was tried and not confirmed is not loaded from it again.

use super::{keys::sha256, store::Change};
use crate::config::{KernelTable, load_kernel};

/// SHA-256 of a table's text.
pub(crate) type Digest = [u8; 32];

/// Bytes of a digest that are shown.
const SHOWN: usize = 6;

/// A `[kernel]` and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Named {
    pub(crate) table: KernelTable,
    pub(crate) origin: String,
}

/// What the store keeps of policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredPolicy {
    /// The table confirmed last.
    pub(crate) text: String,
    /// The file it came from.
    pub(crate) origin: String,
    /// The configured file's table when that was written.
    pub(crate) file: Digest,
    /// The table tried last, if it was not confirmed.
    pub(crate) tried: Option<Digest>,
}

/// The policies the guard knows.
#[derive(Debug)]
pub(crate) struct Policies {
    confirmed: Named,
    /// The configured file and its table as it was read last.
    file: (String, Digest),
    tried: Option<Digest>,
    trial: Option<Named>,
    changed: bool,
}

/// What a guard begins with.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) policies: Policies,
    /// What the file says, if it is neither confirmed nor known to have failed.
    pub(crate) untried: Option<Named>,
    pub(crate) warning: Option<String>,
}

impl Policies {
    /// From the configured file and the store. Without a packet filter nothing can be tried, and
    /// the store keeps what it has.
    pub(crate) fn start(file: Named, stored: Option<StoredPolicy>) -> Start {
        let digest = file.digest();
        let fresh = Self {
            confirmed: file.clone(),
            file: (file.origin.clone(), digest),
            tried: None,
            trial: None,
            changed: file.table.kernel.enabled,
        };
        let alone = |policies, warning| Start { policies, untried: None, warning };
        let Some(stored) = stored.filter(|_| fresh.changed) else { return alone(fresh, None) };
        let Ok(mut tables) = load_kernel(&stored.text, "the confirmed policy") else {
            let warning = "the policy confirmed last does not read any more; the file's is in force unconfirmed";
            return alone(fresh, Some(warning.to_owned()));
        };
        tables.table.kernel = tables.table.kernel.on(&file.table.kernel);
        if tables.table.kernel == file.table.kernel {
            return alone(fresh, None);
        }
        let confirmed = Named { table: tables.table, origin: stored.origin };
        let policies = Self { confirmed, tried: stored.tried, ..fresh };
        if stored.tried == Some(digest) {
            return alone(policies, Some(failed(&file.origin)));
        }
        if stored.file == digest {
            let warning = policies.other_file();
            return alone(policies, warning);
        }
        Start { policies, untried: Some(file), warning: None }
    }

    pub(crate) const fn confirmed(&self) -> &Named {
        &self.confirmed
    }

    pub(crate) const fn trial(&self) -> Option<&Named> {
        self.trial.as_ref()
    }

    /// The configured file.
    pub(crate) fn file(&self) -> &str {
        &self.file.0
    }

    /// A trial begins. Until it is confirmed the store knows that it failed.
    pub(crate) fn begin(&mut self, wanted: Named) {
        let digest = wanted.digest();
        if wanted.origin == self.file.0 {
            self.file.1 = digest;
        }
        self.tried = Some(digest);
        self.trial = Some(wanted);
        self.changed = true;
    }

    /// The trial ends well.
    pub(crate) fn confirm(&mut self) {
        let Some(trial) = self.trial.take() else { return };
        self.confirmed = trial;
        self.tried = None;
        self.changed = true;
    }

    /// The trial ends: the confirmed policy holds again. Returns what was tried.
    pub(crate) const fn abandon(&mut self) -> Option<Named> {
        self.trial.take()
    }

    /// The trial ends for reasons that are not its own: it may be tried again.
    pub(crate) fn withdraw(&mut self) {
        self.trial = None;
        self.tried = None;
        self.changed = true;
    }

    /// The listeners' ports follow the listeners, whatever the policies say.
    pub(crate) fn listen_on(&mut self, ports: &[u16]) {
        self.confirmed.table.kernel.listening = ports.to_vec();
    }

    /// What to tell of a configured file that says something else than what was confirmed.
    pub(crate) fn other_file(&self) -> Option<String> {
        let (file, digest) = &self.file;
        (self.confirmed.digest() != *digest).then(|| {
            format!(
                "the confirmed policy came from {}, and {file} has another [kernel]; write the confirmed one there (`gateway policy show` prints it), or `gateway policy apply` tries the file's",
                self.confirmed.origin
            )
        })
    }

    /// What the store has to follow since the last call.
    pub(crate) fn take_change(&mut self) -> Option<Change> {
        std::mem::take(&mut self.changed).then(|| {
            Change::Policy(StoredPolicy {
                text: self.confirmed.table.text.clone(),
                origin: self.confirmed.origin.clone(),
                file: self.file.1,
                tried: self.tried,
            })
        })
    }
}

impl Named {
    pub(crate) fn digest(&self) -> Digest {
        sha256(self.table.text.as_bytes())
    }

    pub(crate) fn short_digest(&self) -> String {
        short(&self.digest())
    }
}

/// Enough of a digest to tell two apart.
pub(crate) fn short(digest: &Digest) -> String {
    let first = digest.iter().take(SHOWN).fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
    format!("{first:0width$x}", width = 2 * SHOWN)
}

fn failed(file: &str) -> String {
    format!(
        "the [kernel] of {file} was tried and not confirmed: the one before is in force; correct the file, or `gateway policy apply` tries it again"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "/etc/gateway.toml";

    fn named(keys: &str, origin: &str) -> Named {
        let text = format!("[kernel]\ninterfaces = [\"eth0\"]\n{keys}");
        Named { table: load_kernel(&text, origin).unwrap().table, origin: origin.to_owned() }
    }

    fn stored(policies: &mut Policies) -> StoredPolicy {
        let Some(Change::Policy(stored)) = policies.take_change() else { panic!("no change") };
        stored
    }

    /// A guard that confirmed `syns = "off"` of its file.
    fn confirmed() -> StoredPolicy {
        let mut first = Policies::start(named("syns = \"off\"", FILE), None);
        assert!(first.untried.is_none() && first.warning.is_none());
        stored(&mut first.policies)
    }

    #[test]
    fn an_unchanged_file_is_confirmed_whatever_its_form() {
        let file = named("# a comment\nsyns = \"off\"\nmode = \"enforce\"", FILE);
        let start = Policies::start(file.clone(), Some(confirmed()));
        assert!(start.untried.is_none() && start.warning.is_none());
        assert_eq!(start.policies.confirmed(), &file);
    }

    #[test]
    fn a_changed_file_is_tried_once() {
        let file = named("packets = \"off\"", FILE);
        let mut start = Policies::start(file.clone(), Some(confirmed()));
        assert_eq!(start.untried, Some(file.clone()));
        assert_eq!(start.policies.confirmed().table.kernel.syns, None);
        start.policies.begin(file.clone());
        // The guard dies, or the machine does.
        let again = Policies::start(file, Some(stored(&mut start.policies)));
        assert!(again.untried.is_none());
        assert!(again.warning.unwrap().contains("not confirmed"));
        assert_eq!(again.policies.confirmed().table.kernel.syns, None);
    }

    #[test]
    fn what_was_confirmed_of_another_file_holds_until_the_configured_one_changes() {
        let mut start = Policies::start(named("", FILE), None);
        start.policies.begin(named("syns = \"off\"", "/tmp/other.toml"));
        start.policies.confirm();
        assert!(start.policies.other_file().unwrap().contains("/tmp/other.toml"));
        let kept = stored(&mut start.policies);
        let next = Policies::start(named("", FILE), Some(kept.clone()));
        assert!(next.untried.is_none() && next.warning.is_some());
        assert_eq!(next.policies.confirmed().table.kernel.syns, None);
        let edited = Policies::start(named("packets = \"off\"", FILE), Some(kept));
        assert!(edited.untried.is_some());
    }

    #[test]
    fn interfaces_and_capacity_are_the_files_whatever_was_confirmed() {
        let file = named("capacity = { hosts = 7 }\nsyns = \"off\"", FILE);
        let start = Policies::start(file, Some(confirmed()));
        assert!(start.untried.is_none());
        assert_eq!(start.policies.confirmed().table.kernel.capacity.hosts, 7);
    }

    #[test]
    fn without_a_filter_the_store_keeps_what_it_has() {
        let mut file = named("packets = \"off\"", FILE);
        file.table.kernel.enabled = false;
        let mut start = Policies::start(file, Some(confirmed()));
        assert!(start.untried.is_none());
        assert_eq!(start.policies.take_change(), None);
    }

    #[test]
    fn a_policy_that_does_not_read_any_more_gives_way_to_the_file() {
        let broken = StoredPolicy { text: "[kernel]\nsyns = 5".to_owned(), ..confirmed() };
        let start = Policies::start(named("", FILE), Some(broken));
        assert!(start.warning.unwrap().contains("does not read"));
    }
}
