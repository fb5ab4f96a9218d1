//! Two of our gateways in a row, as they stand on both ends of a wide-area network, and a session
//! through them that `s2uc connect` made.
//!
//! ```text
//!   whoever connects ──► consumer's gateway ──► producer's gateway ──► application
//! ```

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};

use super::served::{Connected, Served, Setup};
use super::user::User;
use crate::netns::Place;

/// The address of everything here.
pub const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The ports of the two gateways, below those that the kernel gives out by itself.
pub const RANGES: [&str; 2] = ["10000-14999", "15000-19999"];

/// Two gateways with a session in front of an application.
#[derive(Debug)]
pub struct Pair {
    user: User,
    setup: Setup,
    producer: Served,
    consumer: Served,
    session: Connected,
}

impl Pair {
    /// Gateways at `place`, a namespace of the test's own, and a session in front of `target`.
    ///
    /// # Errors
    /// When a gateway does not start, or the session cannot be set up.
    pub fn before(place: Place<'_>, target: SocketAddr) -> Result<Self> {
        Self::with_ranges(place, target, RANGES)
    }

    /// As [`Pair::before`], with the ports that the producer's and the consumer's gateway may listen
    /// on.
    ///
    /// # Errors
    /// As [`Pair::before`].
    pub fn with_ranges(place: Place<'_>, target: SocketAddr, ranges: [&str; 2]) -> Result<Self> {
        let user = User::new()?;
        let setup = Setup::new(&user)?;
        let [producer, consumer] = ranges;
        let producer = setup.serve(&user, place, producer, "")?;
        let consumer = setup.serve(&user, place, consumer, "")?;
        let targets = [target.to_string()];
        let session = Connected::by(&user, place, [&producer, &consumer], &setup, &targets)?;
        Ok(Self {
            user,
            setup,
            producer,
            consumer,
            session,
        })
    }

    /// Where to connect.
    ///
    /// # Errors
    /// When that was not told.
    pub fn listener(&self) -> Result<SocketAddr> {
        let listeners = self.session.listeners()?;
        let first = listeners.first().context("a session has a listener")?;
        first
            .parse()
            .with_context(|| format!("`{first}` is no address"))
    }

    /// Bytes that both gateways say have come back from the application; the lesser of the two.
    ///
    /// # Errors
    /// When a gateway does not say.
    pub fn bytes_back(&self, place: Place<'_>) -> Result<u64> {
        let at = |gateway| -> Result<u64> {
            let shown = self.session.show(&self.user, place, gateway, &self.setup)?;
            let bytes = shown.json()?["bytes_to_downstream"].as_u64();
            bytes.context("a session has its bytes")
        };
        Ok(at(&self.producer)?.min(at(&self.consumer)?))
    }
}
