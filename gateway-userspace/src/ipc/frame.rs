//! One message as bytes: the version, then postcard. Pure, so that a fuzzer can have it.

use serde::{Serialize, de::DeserializeOwned};

use super::message::{FRAME_BYTES, FromGuard, FromProxy, VERSION};

/// Why a message could not be sent or received.
#[derive(Debug, thiserror::Error)]
pub enum IpcError {
    /// The other side is gone.
    #[error("the other process closed its end")]
    Closed,
    /// Bytes that are no message of this version.
    #[error("a frame that does not decode")]
    Malformed {
        #[source]
        source: postcard::Error,
    },
    /// A message with something behind its end.
    #[error("a frame with {bytes} bytes after its message")]
    Trailing { bytes: usize },
    /// More bytes than a frame holds.
    #[error("a frame over {FRAME_BYTES} bytes")]
    TooLarge,
    /// More descriptors than a frame holds, or some the kernel could not deliver.
    #[error("a frame with too many descriptors")]
    Descriptors,
    /// The other process speaks another version.
    #[error("protocol version {theirs}, ours is {ours}")]
    Version { theirs: u8, ours: u8 },
    /// The socket failed.
    #[error("{doing}")]
    Socket {
        doing: &'static str,
        #[source]
        source: std::io::Error,
    },
}

/// What travels in frames.
pub trait Message: Serialize + DeserializeOwned {
    /// The first byte of its frames.
    const VERSION: u8;
}

impl Message for FromProxy {
    const VERSION: u8 = VERSION;
}

impl Message for FromGuard {
    const VERSION: u8 = VERSION;
}

/// The bytes of a message.
pub fn encode<M: Message>(message: &M) -> Result<Vec<u8>, IpcError> {
    let bytes = postcard::to_extend(message, vec![M::VERSION])
        .map_err(|source| IpcError::Malformed { source })?;
    if bytes.len() > FRAME_BYTES {
        return Err(IpcError::TooLarge);
    }
    Ok(bytes)
}

/// The message in `bytes`, which must hold exactly one.
pub fn decode<M: Message>(bytes: &[u8]) -> Result<M, IpcError> {
    if bytes.len() > FRAME_BYTES {
        return Err(IpcError::TooLarge);
    }
    let (&version, body) = bytes.split_first().ok_or(IpcError::Closed)?;
    if version != M::VERSION {
        return Err(IpcError::Version { theirs: version, ours: M::VERSION });
    }
    let (message, rest) =
        postcard::take_from_bytes(body).map_err(|source| IpcError::Malformed { source })?;
    if rest.is_empty() { Ok(message) } else { Err(IpcError::Trailing { bytes: rest.len() }) }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::ipc::message::{ApiKey, FromGuard, FromProxy, Make, Query};

    fn from_proxy() -> impl Strategy<Value = FromProxy> {
        prop_oneof![
            (any::<u32>(), any::<[[u8; 32]; 3]>()).prop_map(
                |(pid, [program, configuration, files])| FromProxy::Hello {
                    pid,
                    make: Make { program, configuration, files }
                }
            ),
            (any::<IpAddr>(), any::<u16>(), any::<u64>(), any::<bool>()).prop_map(
                |(source, reason, at_ns, behind_proxy)| FromProxy::Strike {
                    source,
                    reason,
                    at_ns,
                    behind_proxy
                }
            ),
            (".{0,40}", proptest::collection::vec(any::<IpAddr>(), 0..20))
                .prop_map(|(name, addresses)| FromProxy::Resolved { name, addresses }),
            (any::<u64>(), ".{0,200}").prop_map(|(id, json)| FromProxy::Answer { id, json }),
            Just(FromProxy::Serving),
        ]
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused_without_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..600)
        ) {
            drop(decode::<FromProxy>(&bytes));
            drop(decode::<FromGuard>(&bytes));
        }

        #[test]
        fn any_body_of_our_version_decodes_or_is_refused_without_panic(
            mut bytes in proptest::collection::vec(any::<u8>(), 1..600)
        ) {
            bytes[0] = VERSION;
            drop(decode::<FromProxy>(&bytes));
            drop(decode::<FromGuard>(&bytes));
        }

        #[test]
        fn messages_round_trip_and_every_truncation_is_refused(message in from_proxy()) {
            let bytes = encode(&message).unwrap();
            prop_assert_eq!(decode::<FromProxy>(&bytes).unwrap(), message);
            for end in 0..bytes.len() {
                prop_assert!(decode::<FromProxy>(&bytes[..end]).is_err());
            }
        }
    }

    #[test]
    fn refuses_another_version_and_bytes_behind_the_message() {
        let mut bytes = encode(&FromGuard::Start).unwrap();
        bytes.push(0);
        assert!(matches!(decode::<FromGuard>(&bytes), Err(IpcError::Trailing { bytes: 1 })));
        bytes[0] = VERSION + 1;
        let error = decode::<FromGuard>(&bytes).unwrap_err();
        assert!(matches!(error, IpcError::Version { theirs, .. } if theirs == VERSION + 1));
    }

    #[test]
    fn refuses_to_encode_or_decode_more_than_a_frame() {
        let long = FromProxy::Answer { id: 1, json: "x".repeat(FRAME_BYTES) };
        assert!(matches!(encode(&long), Err(IpcError::TooLarge)));
        assert!(matches!(
            decode::<FromProxy>(&vec![VERSION; FRAME_BYTES + 1]),
            Err(IpcError::TooLarge)
        ));
    }

    #[test]
    fn a_length_beyond_the_frame_is_refused_before_memory_is_taken() {
        // `Keys` claiming 2^63 entries.
        let mut bytes =
            encode(&FromGuard::Keys { reset: true, more: false, keys: Vec::<ApiKey>::new() })
                .unwrap();
        bytes.pop();
        bytes.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
        assert!(decode::<FromGuard>(&bytes).is_err());
    }

    #[test]
    fn queries_round_trip() {
        for query in [Query::Status, Query::WhyRequest("r".to_owned())] {
            let message = FromGuard::Query { id: 7, query };
            assert_eq!(decode::<FromGuard>(&encode(&message).unwrap()).unwrap(), message);
        }
    }
}
