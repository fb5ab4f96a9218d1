//! Connections that are open and say nothing.

use std::net::{SocketAddr, TcpListener, TcpStream};

use anyhow::{Context as _, Result};

use crate::netns::Place;

/// Both ends of many quiet connections; they close when this is dropped.
#[derive(Debug)]
pub struct IdleConnections {
    ends: Vec<(TcpStream, TcpStream)>,
}

impl IdleConnections {
    /// Opens `count` connections from `place` to `address`, each arriving at `listener` and
    /// carrying one byte each way, one after the other.
    ///
    /// # Errors
    /// When one of them does not get through; the error says which.
    pub fn open<'a>(
        count: usize,
        place: impl Into<Place<'a>>,
        address: SocketAddr,
        listener: &TcpListener,
    ) -> Result<Self> {
        // One thread inside for all: a thread for each would take longer than the connections.
        let open = || {
            (0..count)
                .map(|number| {
                    super::join(Place::Here, address, listener)
                        .with_context(|| format!("connection {number} of {count}"))
                })
                .collect::<Result<_>>()
        };
        let ends = place.into().enter(open)??;
        Ok(Self { ends })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.ends.len()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn every_connection_is_proven_by_a_byte_each_way() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let idle = IdleConnections::open(20, Place::Here, address, &listener).unwrap();
        assert_eq!(idle.count(), 20);
    }
}
