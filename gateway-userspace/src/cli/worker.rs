//! `gateway proxy-worker`, which only the guard starts.

pub(super) fn run(log: &str) -> anyhow::Result<()> {
    super::start_log(log)
}
