//! The `[kernel]` that tests of the filter itself start from: small maps, limits nobody reaches,
//! nothing dropped but bans.

use std::{path::PathBuf, time::Duration};

use gateway_userspace::config::model::{
    Answer, Answers, Attach, Capacity, Kernel, Mode, Policy, Rate, SynCookies,
};

/// Never used up by a test.
pub const PLENTY: Rate = Rate { count: 1_000_000, per: Duration::from_secs(1), burst: 1_000_000 };

/// No interface, cookies off, and only the limit of one source on.
pub fn kernel(pins: PathBuf) -> Kernel {
    Kernel {
        enabled: true,
        interfaces: Vec::new(),
        attach: Attach::Auto,
        mode: Mode::Enforce,
        policy: Policy::Open,
        services: Vec::new(),
        listening: Vec::new(),
        amplifiers: Vec::new(),
        flow_timeout: Duration::from_mins(1),
        shadow: Vec::new(),
        confirm: None,
        protect: Vec::new(),
        trusted_proxies: Vec::new(),
        shared: Vec::new(),
        allow_limit: PLENTY,
        packets: Some(PLENTY),
        packets_neighbourhood: None,
        syns: None,
        syns_neighbourhood: None,
        limit_inserts: 1000,
        syn_cookies: SynCookies {
            enabled: false,
            above: PLENTY,
            hold: Duration::from_secs(1),
            most: PLENTY,
            timestamps: false,
            veth: false,
        },
        capacity: Capacity {
            hosts: 64,
            prefixes: 64,
            dynamic: 64,
            allow: 16,
            limits: 1024,
            flows: 1024,
        },
        answers: Answers::all(Answer::Pass),
        events: 10,
        pins,
    }
}
