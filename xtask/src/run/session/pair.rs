//! A session through two gateways: made, asked about, released, and shown to be gone.

use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bpf_tests::gateway::Gateway;
use bpf_tests::netns::Place;
use serde_json::Value;

use super::listening::listening;
use super::setup::{Setup, Typed};
use crate::run::stage::Spot;

/// How long a port that listens to nobody may take to say so.
const REFUSAL_DEADLINE: Duration = Duration::from_secs(5);

/// A session that `s2uc connect` made.
pub(in crate::run) struct Session<'a> {
    setup: &'a Setup<'a>,
    uid: String,
    /// The control addresses of the producer's gateway and the consumer's.
    controls: [SocketAddr; 2],
    /// Their listeners.
    listeners: [Vec<SocketAddr>; 2],
}

/// How a session came about.
pub(super) struct Made {
    /// The command.
    pub(super) line: String,
    /// From its start to its end.
    pub(super) took: Duration,
}

/// A listener of a session.
#[derive(Clone, Copy)]
pub(super) struct Port<'a> {
    address: SocketAddr,
    /// 1 beside the producer, 2 beside the consumer.
    gateway: usize,
    at: Place<'a>,
    /// Whence it is dialled.
    from: Place<'a>,
}

impl<'a> Session<'a> {
    /// Runs `s2uc connect` through `gateways` to `target`.
    pub(super) fn connect(
        setup: &'a Setup<'a>,
        gateways: &[Gateway],
        target: SocketAddr,
    ) -> Result<(Self, Made)> {
        let [producer, consumer] = gateways else {
            anyhow::bail!("a session takes two gateways");
        };
        let [first, second] = setup.stage().gateways();
        let controls = [control(first, producer)?, control(second, consumer)?];
        let [producer, consumer] = controls.map(|control| control.to_string());
        let target = target.to_string();
        let typed = setup.s2uc(&[
            "connect",
            "--producer",
            &producer,
            "--consumer",
            &consumer,
            "--target",
            &target,
        ]);
        let line = typed.line.clone();
        let started = Instant::now();
        let answer = typed.answer()?;
        let took = started.elapsed();
        let uid = answer.get("uid").and_then(Value::as_str);
        let session = Self {
            setup,
            uid: uid.context("`s2uc connect` told no uid")?.to_owned(),
            controls,
            listeners: [
                addresses(&answer, "/producer/listeners")?,
                addresses(&answer, "/listeners")?,
            ],
        };
        Ok((session, Made { line, took }))
    }

    /// Where a consumer connects.
    pub(super) fn entrance(&self) -> Result<SocketAddr> {
        let [_producer, consumer] = &self.listeners;
        consumer
            .first()
            .copied()
            .context("`s2uc connect` told no address to connect to")
    }

    /// From where a consumer connects to the last listener before the target.
    pub(super) fn way(&self) -> Vec<String> {
        let hops = self
            .listeners
            .iter()
            .rev()
            .filter_map(|listeners| listeners.first());
        hops.map(ToString::to_string).collect()
    }

    /// The control addresses of the producer's gateway and the consumer's.
    pub(super) fn controls(&self) -> [SocketAddr; 2] {
        self.controls
    }

    /// `s2uc show`, of the consumer's gateway.
    pub(in crate::run) fn show_command(&self) -> Command {
        let [_producer, consumer] = self.controls;
        let shown = ["show", &self.uid, "--s2cs", &consumer.to_string()];
        self.setup.s2uc(&shown).command
    }

    /// Ends it on both gateways; gives the command.
    pub(super) fn release(&self) -> Result<String> {
        let [producer, consumer] = self.controls.map(|control| control.to_string());
        let typed: Typed = self.setup.s2uc(&[
            "release",
            &self.uid,
            "--producer",
            &producer,
            "--consumer",
            &consumer,
        ]);
        let line = typed.line.clone();
        typed.answer()?;
        Ok(line)
    }

    /// All its listeners.
    pub(super) fn ports(&self) -> Vec<Port<'a>> {
        let stage = self.setup.stage();
        let [first, second] = stage.gateways().map(|spot| spot.place);
        let sides = [(1, first, second), (2, second, stage.dialler())];
        let ports = sides.into_iter().zip(&self.listeners);
        let ports = ports.flat_map(|((gateway, at, from), listeners)| {
            listeners.iter().map(move |&address| Port {
                address,
                gateway,
                at,
                from,
            })
        });
        ports.collect()
    }
}

impl Port<'_> {
    /// That the kernel lists it: otherwise it would prove nothing that it does not afterwards.
    pub(super) fn ensure_held(&self) -> Result<()> {
        let Self {
            address,
            gateway,
            at,
            ..
        } = *self;
        let listed = listening(at)?.contains(&address.port());
        ensure!(
            listed,
            "gateway {gateway} should listen on {address} while its session is up, but its kernel does not list that; \
             what the run would prove about the end of the session would be worth nothing"
        );
        Ok(())
    }

    /// That nothing listens on it: the kernel does not list it, and whoever connects is refused.
    pub(super) fn ensure_free(&self) -> Result<()> {
        let Self {
            address,
            gateway,
            at,
            from,
        } = *self;
        let listed = listening(at)?.contains(&address.port());
        let dialled = from.enter(|| TcpStream::connect_timeout(&address, REFUSAL_DEADLINE))?;
        let refused =
            matches!(&dialled, Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused);
        ensure!(
            !listed && refused,
            "{address} on gateway {gateway} is not free after its session was released (listed: {listed}, \
             connecting: {dialled:?}); a release must leave nothing: report it"
        );
        Ok(())
    }
}

/// Where users reach a gateway, which may listen everywhere.
fn control(spot: Spot<'_>, gateway: &Gateway) -> Result<SocketAddr> {
    Ok(SocketAddr::new(spot.address, gateway.address()?.port()))
}

fn addresses(answer: &Value, path: &str) -> Result<Vec<SocketAddr>> {
    let listed = answer.pointer(path).and_then(Value::as_array);
    let listed = listed.with_context(|| format!("`s2uc connect` told no {path}"))?;
    let address = |value: &Value| {
        let text = value.as_str().unwrap_or_default();
        text.parse().with_context(|| {
            format!("`s2uc connect` told {value} as a listener, which is no address")
        })
    };
    listed.iter().map(address).collect()
}
