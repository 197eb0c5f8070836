//! What a proxy and its next guard say before they know whether they speak one protocol: whose the
//! listening sockets are must not depend on a version, or an upgrade would have to open them anew
//! and reset what waits in them. Frozen: `VERSION` and the bytes of these messages never change,
//! further ones are added behind the last.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{
    frame::Message,
    message::{ListenerRole, Make},
};

/// Far from the numbers that the protocol itself counts through.
const VERSION: u8 = 0xE1;

/// What the proxy says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromOrphan {
    /// Which version of the protocol it speaks, and what it is made of.
    Hello { ipc: u8, pid: u32, make: Make },
    /// With one descriptor: a listening socket, those of one address in the order of workers.
    Holding { address: SocketAddr, role: ListenerRole },
    /// That was all of them.
    Done,
}

/// What the guard says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromHeir {
    /// Answers `Hello`.
    Welcome { ipc: u8 },
    /// After `Done`: serve on as mine; the protocol goes on from here.
    Adopt,
    /// After `Done`, whenever it comes: another proxy serves from the sockets, finish and end.
    Drain,
}

impl Message for FromOrphan {
    const VERSION: u8 = VERSION;
}

impl Message for FromHeir {
    const VERSION: u8 = VERSION;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::{decode, encode};

    /// The bytes that every version past and to come reads alike.
    #[test]
    fn the_bytes_are_frozen() {
        let make = Make { program: [1; 32], configuration: [2; 32], files: [3; 32] };
        let hello = encode(&FromOrphan::Hello { ipc: 4, pid: 300, make }).unwrap();
        let body = [vec![0xE1, 0, 4, 0xAC, 2], vec![1; 32], vec![2; 32], vec![3; 32]].concat();
        assert_eq!(hello, body);
        let v4 = FromOrphan::Holding {
            address: "192.0.2.1:443".parse().unwrap(),
            role: ListenerRole::Public,
        };
        assert_eq!(encode(&v4).unwrap(), [0xE1, 1, 0, 192, 0, 2, 1, 0xBB, 3, 0]);
        let v6 = FromOrphan::Holding {
            address: "[2001:db8::1]:80".parse().unwrap(),
            role: ListenerRole::Metrics,
        };
        let address = [0x20, 1, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(
            encode(&v6).unwrap(),
            [vec![0xE1, 1, 1], address.to_vec(), vec![80, 1]].concat()
        );
        assert_eq!(encode(&FromOrphan::Done).unwrap(), [0xE1, 2]);
        assert_eq!(encode(&FromHeir::Welcome { ipc: 4 }).unwrap(), [0xE1, 0, 4]);
        assert_eq!(encode(&FromHeir::Adopt).unwrap(), [0xE1, 1]);
        assert_eq!(encode(&FromHeir::Drain).unwrap(), [0xE1, 2]);
        for message in [v4, v6, FromOrphan::Done] {
            assert_eq!(decode::<FromOrphan>(&encode(&message).unwrap()).unwrap(), message);
        }
    }
}
