//! The ways from the producer to the consumer that are compared.

use std::fmt;

use bpf_tests::gateway::Plane;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// One way from the producer to the consumer. The order is that of the tables.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Subject {
    /// The gateway routes; nobody relays.
    NoProxy,
    /// `s2cs forward --plane copy`.
    Copy,
    /// `s2cs forward --plane splice`.
    Splice,
    /// `s2cs forward --plane sockmap`.
    Sockmap,
    /// `s2cs forward --plane auto`.
    Auto,
    /// haproxy through its buffers.
    Haproxy,
    /// haproxy with `option splice-auto`.
    HaproxySplice,
    /// nginx's stream module.
    Nginx,
    /// socat, a process per connection.
    Socat,
    /// Two stunnels with TLS 1.3 between them.
    StunnelPair,
    /// `ssh -L`.
    SshTunnel,
}

/// Whose program a subject is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Maker {
    /// Nobody's: there is no program.
    Nobody,
    /// Ours, on this plane.
    Ours(Plane),
    /// Somebody else's, on one host.
    Peer(Peer),
    /// Somebody else's, on two hosts.
    Tunnel(Tunnel),
}

/// A program of others that takes two hosts: plain TCP at both ends, its own protocol between.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tunnel {
    /// One stunnel encrypts, another decrypts.
    Stunnel,
    /// An ssh forwards a local port through an sshd.
    Ssh,
}

/// A program of others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Peer {
    /// haproxy.
    Haproxy {
        /// With `option splice-auto`.
        splice: bool,
    },
    /// nginx with the stream module.
    Nginx,
    /// socat.
    Socat,
}

impl Subject {
    /// The planes that `auto` chooses from.
    pub(super) const SINGLE_PLANES: [Self; 3] = [Self::Copy, Self::Splice, Self::Sockmap];

    /// Those of others that `auto` is to beat.
    pub(super) const PEERS: [Self; 4] =
        [Self::Haproxy, Self::HaproxySplice, Self::Nginx, Self::Socat];

    /// Those of the `gateway` suite.
    pub(super) const GATEWAY: [Self; 9] = [
        Self::NoProxy,
        Self::Copy,
        Self::Splice,
        Self::Sockmap,
        Self::Auto,
        Self::Haproxy,
        Self::HaproxySplice,
        Self::Nginx,
        Self::Socat,
    ];

    /// The program behind it.
    pub(super) fn maker(self) -> Maker {
        match self {
            Self::NoProxy => Maker::Nobody,
            Self::Copy => Maker::Ours(Plane::Copy),
            Self::Splice => Maker::Ours(Plane::Splice),
            Self::Sockmap => Maker::Ours(Plane::Sockmap),
            Self::Auto => Maker::Ours(Plane::Auto),
            Self::Haproxy => Maker::Peer(Peer::Haproxy { splice: false }),
            Self::HaproxySplice => Maker::Peer(Peer::Haproxy { splice: true }),
            Self::Nginx => Maker::Peer(Peer::Nginx),
            Self::Socat => Maker::Peer(Peer::Socat),
            Self::StunnelPair => Maker::Tunnel(Tunnel::Stunnel),
            Self::SshTunnel => Maker::Tunnel(Tunnel::Ssh),
        }
    }
}

/// What a subject is.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct SubjectFacts {
    /// In its own words.
    pub(crate) version: String,
    /// Its configuration or options.
    pub(crate) configuration: String,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NoProxy => "no proxy",
            Self::Copy => "s2cs copy",
            Self::Splice => "s2cs splice",
            Self::Sockmap => "s2cs sockmap",
            Self::Auto => "s2cs auto",
            Self::Haproxy => "haproxy",
            Self::HaproxySplice => "haproxy splice",
            Self::Nginx => "nginx stream",
            Self::Socat => "socat",
            Self::StunnelPair => "stunnel pair",
            Self::SshTunnel => "ssh -L",
        })
    }
}
