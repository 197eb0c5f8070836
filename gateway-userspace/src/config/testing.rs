//! The sample configuration of all tests: read from text as any other, so that a new key needs no
//! second mention.

use super::{load, model::Config};

/// What `sections` say over the defaults, with the echo as supplier `echo`. No listener, no route.
pub(crate) fn sample(sections: &str) -> Config {
    let text = format!(
        "{sections}\n[[listener]]\naddress = \"127.0.0.1:1\"\n\
         [[supplier]]\nname = \"echo\"\ntargets = [\"echo\"]\n"
    );
    let mut config = load(&text, "sample").unwrap_or_else(|faults| panic!("{faults}"));
    config.listeners.clear();
    config
}
