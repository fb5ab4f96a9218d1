//! The same-host hop: what the socket-operations and message programs share with the daemon.

/// The two ends of a local application's connection, as that application sees them.
///
/// IPv4 addresses are v4-mapped, so that one key serves both families.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct LocalEnds {
    /// The application's address, network byte order.
    pub local: [u8; 16],
    /// The gateway's address, network byte order.
    pub remote: [u8; 16],
    /// The application's port, host byte order.
    pub local_port: u16,
    /// The gateway's port, host byte order.
    pub remote_port: u16,
}

const _: () = assert!(size_of::<LocalEnds>() == 36);

impl LocalEnds {
    /// The key as the map holds it.
    pub fn to_bytes(self) -> [u8; 36] {
        let mut bytes = [0; 36];
        let (local, rest) = bytes.split_at_mut(16);
        let (remote, ports) = rest.split_at_mut(16);
        local.copy_from_slice(&self.local);
        remote.copy_from_slice(&self.remote);
        ports[..2].copy_from_slice(&self.local_port.to_ne_bytes());
        ports[2..].copy_from_slice(&self.remote_port.to_ne_bytes());
        bytes
    }
}

/// A local application's socket, written by the socket-operations program.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LocalSocket {
    /// Its socket cookie: the key in the `LOCAL_APPS` map.
    pub cookie: u64,
    /// Its `snd_nxt` when the connection was established: the first byte's sequence number.
    pub send_base: u32,
    /// Keeps the layout free of padding.
    pub reserved: u32,
}

const _: () = assert!(size_of::<LocalSocket>() == 16);

impl LocalSocket {
    /// The value as the map holds it.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = bytes;
        Self {
            cookie: u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
            send_base: u32::from_ne_bytes([i, j, k, l]),
            reserved: 0,
        }
    }
}

/// Whether a message may jump the same-host hop: everything the application sent by the ordinary
/// way, `sent` bytes, is in the egress socket's queue, which has taken `queued` bytes in all and
/// `redirected` of them past the hop. Counts are sequence numbers and wrap.
pub fn hop_is_empty(sent: u32, queued: u32, redirected: u64) -> bool {
    sent == queued.wrapping_sub(redirected as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_those_of_the_structs() {
        let ends = LocalEnds {
            local: [1; 16],
            remote: [2; 16],
            local_port: 0x0304,
            remote_port: 0x0506,
        };
        let bytes = ends.to_bytes();
        assert_eq!(bytes[15..17], [1, 2]);
        assert_eq!(bytes[32..34], 0x0304_u16.to_ne_bytes());
        assert_eq!(bytes[34..], 0x0506_u16.to_ne_bytes());
        let mut value = [0; 16];
        value[..8].copy_from_slice(&7_u64.to_ne_bytes());
        value[8..12].copy_from_slice(&9_u32.to_ne_bytes());
        assert_eq!(
            LocalSocket::from_bytes(value),
            LocalSocket {
                cookie: 7,
                send_base: 9,
                reserved: 0
            }
        );
    }

    #[test]
    fn bytes_under_way_keep_the_order() {
        assert!(hop_is_empty(100, 130, 30));
        assert!(!hop_is_empty(100, 129, 30));
        assert!(
            hop_is_empty(100, 30_u32.wrapping_add(100), (1 << 32) + 30),
            "counts wrap"
        );
        assert!(hop_is_empty(u32::MAX, 9, 10), "sequence numbers wrap");
    }
}
