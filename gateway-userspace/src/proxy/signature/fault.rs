//! Why a message's signature or digest does not hold.

/// What was found wrong. Names of components and keys are the sender's words: for logs alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("no signature")]
    Missing,
    #[error("several signatures, and none is named by label or tag")]
    Several,
    #[error("a signature field is not as RFC 9421 has it")]
    Malformed,
    #[error("component {0} is not known here")]
    UnknownComponent(String),
    #[error("component {0} is not in the message")]
    AbsentComponent(String),
    #[error("component {0} is covered twice")]
    TwiceCovered(String),
    #[error("{0} is not covered")]
    Uncovered(String),
    #[error("the signature does not say when it was made")]
    Undated,
    #[error("the signature is older than the window")]
    Stale,
    #[error("the signature is from the future")]
    Early,
    #[error("the signature has expired")]
    Expired,
    #[error("the signature has no nonce")]
    NoNonce,
    #[error("the signature names another algorithm than its key's")]
    OtherAlgorithm,
    #[error("the signature names no key")]
    NoKey,
    #[error("the signature does not fit the message")]
    Forged,
    #[error("no digest of the body by a known algorithm")]
    NoDigest,
    #[error("the body is not what its digest says")]
    OtherBody,
}
