//! Packets through the real object by `BPF_PROG_TEST_RUN`: verdict and counter of each.
//!
//! Needs root and a mounted bpffs. Nothing is attached to any interface.

#[cfg(test)]
mod xdp {
    mod fixture;
    mod smoke;
}
