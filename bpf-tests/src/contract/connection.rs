//! One connection through the gateway, both of its ends in our hands.

use std::net::SocketAddr;

use anyhow::{Result, ensure};

use crate::together;
use crate::traffic::Endpoint;

/// One of the two ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    /// The end that dialled the gateway.
    Downstream,
    /// The end that the gateway dialled.
    Upstream,
}

/// Both ends of one connection.
pub struct Connection {
    /// The end that dialled the gateway.
    pub downstream: Endpoint,
    /// The end that the gateway dialled.
    pub upstream: Endpoint,
    /// The downstream end's address, the connection's name in the gateway's log.
    pub address: SocketAddr,
}

impl Side {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Downstream, Self::Upstream];

    /// The other end.
    pub fn other(self) -> Self {
        match self {
            Self::Downstream => Self::Upstream,
            Self::Upstream => Self::Downstream,
        }
    }

    /// The reason in the gateway's log when this side resets the connection.
    pub fn reset_reason(self) -> &'static str {
        match self {
            Self::Downstream => "downstream_reset",
            Self::Upstream => "upstream_reset",
        }
    }
}

impl Connection {
    /// This side's end, then the other.
    pub fn ends(&self, side: Side) -> [&Endpoint; 2] {
        match side {
            Side::Downstream => [&self.downstream, &self.upstream],
            Side::Upstream => [&self.upstream, &self.downstream],
        }
    }

    /// This side's end, then the other, to do away with.
    pub fn into_ends(self, side: Side) -> [Endpoint; 2] {
        match side {
            Side::Downstream => [self.downstream, self.upstream],
            Side::Upstream => [self.upstream, self.downstream],
        }
    }

    /// Moves so many bytes each way, at once, as fast as they go.
    ///
    /// # Errors
    /// When they do not arrive.
    pub fn exchange(&self, to_upstream: u64, to_downstream: u64) -> Result<()> {
        together!(
            || self.downstream.send(to_upstream),
            || self.upstream.receive(to_upstream),
            || self.upstream.send(to_downstream),
            || self.downstream.receive(to_downstream),
        )
    }

    /// Moves so many bytes from this side to the other.
    ///
    /// # Errors
    /// When they do not arrive.
    pub fn carry(&self, from: Side, bytes: u64) -> Result<()> {
        let [sender, reader] = self.ends(from);
        together!(|| sender.send(bytes), || reader.receive(bytes))
    }

    /// FIN each way, the one from `first` first.
    ///
    /// # Errors
    /// When a FIN does not arrive, or further bytes do.
    pub fn finish(&self, first: Side) -> Result<()> {
        let [one, other] = self.ends(first);
        one.finish()?;
        other.receive_fin()?;
        other.finish()?;
        one.receive_fin()
    }

    /// Fails unless each end received exactly what the other sent.
    ///
    /// # Errors
    /// The counts and hashes.
    pub fn arrived(&self) -> Result<()> {
        for side in Side::BOTH {
            let [sender, reader] = self.ends(side);
            ensure!(
                (sender.sent(), sender.sent_digest())
                    == (reader.received(), reader.received_digest()),
                "from the {side:?} end {} bytes were sent (hash {:#x}) and {} arrived (hash {:#x})",
                sender.sent(),
                sender.sent_digest(),
                reader.received(),
                reader.received_digest()
            );
        }
        Ok(())
    }
}
