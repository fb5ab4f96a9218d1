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

/// Whether a message of `len` bytes may jump the same-host hop.
///
/// It may when everything the application sent by the ordinary way (`hop_bytes`) has been written
/// to the egress socket by the daemon (`forwarded`), and the egress has room for it.
pub fn hop_is_empty(write_seq: u32, send_base: u32, forwarded: u64) -> bool {
    write_seq.wrapping_sub(send_base) == forwarded as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_under_way_keep_the_order() {
        assert!(hop_is_empty(1000, 900, 100));
        assert!(!hop_is_empty(1000, 900, 99));
        assert!(
            hop_is_empty(50, u32::MAX - 49, 100),
            "sequence numbers wrap"
        );
    }
}
