//! Packets through the real object by `BPF_PROG_TEST_RUN`: the verdict and the counter of each.
//!
//! Needs root and a mounted bpffs. Nothing is attached to any interface. Frames shorter than an
//! Ethernet header cannot be run this way; the parser's own tests have them.

#[cfg(test)]
mod xdp {
    mod bans;
    mod bulk;
    mod disagreed;
    mod events;
    mod fixture;
    mod frames;
    mod framing;
    mod limits;
    mod policy;
    mod rows;
    mod speed;
    mod syn;
    mod trial;
}
