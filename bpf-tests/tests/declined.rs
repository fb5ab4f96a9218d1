//! On a kernel whose sockmap loses bytes the gateway declines that plane, says why, and forwards
//! by splice, byte for byte.
//!
//! The target has `test = false`: it wants such a kernel and fails on any other, so it runs where
//! there is one, in a guest of `cargo xtask vm 5.10`.

use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bpf_tests::contract::{Connection, Outcome, Side};
use bpf_tests::gateway::{GatewayOptions, Plane, find_s2cs};
use bpf_tests::netns::Place;
use bpf_tests::patience::stretched;
use bpf_tests::topology::{Family, LinkOptions, Topology};
use bpf_tests::traffic::{Endpoint, Pattern, Seed, Watch};
use serde_json::Value;

/// What the gateway says of such a kernel, whatever its number.
const REASON: &str = "loses or repeats sockmap data";

/// What each end sends.
const BYTES: u64 = 16 << 20;

fn deadline() -> Duration {
    stretched(Duration::from_secs(20))
}

#[test]
fn the_probe_says_which_kernel_it_wants() -> Outcome {
    let output = Command::new(find_s2cs("debug")?)
        .args(["probe", "--json"])
        .output()?;
    ensure!(
        output.status.code() == Some(2),
        "the probe ended with {}",
        output.status
    );
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let checks = report["checks"].as_array().context("no checks")?;
    let check = checks.iter().find(|check| check["name"] == "sockmap");
    let check = check.context("no check of sockmap")?;
    let mend = check["mend"].as_str().unwrap_or_default();
    ensure!(
        check["status"] == "fail" && mend.contains(REASON) && mend.contains("has the fixes"),
        "the probe says of sockmap: {check}"
    );
    Ok(())
}

#[test]
fn insisting_on_sockmap_is_refused_with_the_reason() -> Outcome {
    let mut gateway = GatewayOptions::new(find_s2cs("debug")?, Plane::Sockmap)
        .listen(std::net::Ipv4Addr::LOCALHOST.into())
        .target("127.0.0.1:9")
        .launch(Place::Here)?;
    let status = gateway.process().wait(deadline())?;
    let words = gateway.last_words();
    ensure!(
        !status.success() && words.contains(REASON),
        "it ended with {status}: {words}"
    );
    Ok(())
}

#[test]
fn auto_declines_sockmap_and_splices_every_byte() -> Outcome {
    let hosts = Topology::one(&LinkOptions::default())?;
    let consumer = hosts.consumer.ip(Family::V4);
    let listener = hosts
        .consumer
        .netns()
        .enter(|| TcpListener::bind((consumer, 0)))??;
    let mut gateway = GatewayOptions::new(find_s2cs("debug")?, Plane::Auto)
        .listen(hosts.gateway.ip(Family::V4))
        .target(listener.local_addr()?)
        .start(hosts.gateway.netns())?;
    let declines = gateway.declines()?;
    let [(plane, reason)] = &declines[..] else {
        bail!("it declined {declines:?}");
    };
    ensure!(
        (gateway.plane()?.as_str(), plane.as_str()) == ("splice", "sockmap"),
        "it runs on {} and declined {plane}",
        gateway.plane()?
    );
    ensure!(
        reason.contains(REASON),
        "it declined sockmap because {reason}"
    );

    let address = gateway.address()?;
    let dialled = hosts
        .producer
        .netns()
        .enter(|| TcpStream::connect(address))??;
    let connection = connected(dialled, listener.accept()?.0)?;
    connection.exchange(BYTES, BYTES)?;
    connection.finish(Side::Downstream)?;
    connection.arrived()?;

    let closed = gateway.wait_closed(1, deadline())?;
    for direction in [&closed[0].to_upstream, &closed[0].to_downstream] {
        ensure!(
            (direction.bytes, direction.redirected) == (BYTES, 0),
            "the gateway counted {direction:?}"
        );
    }
    ensure!(gateway.terminate(deadline())?.success());
    Ok(())
}

/// Both ends, with streams of their own.
fn connected(downstream: TcpStream, upstream: TcpStream) -> Result<Connection> {
    let seed = Seed::from_env()?;
    println!("{}", seed.replay());
    let [to_upstream, to_downstream] = [seed.derive(), seed.derive()].map(Pattern::new);
    let watch = Watch::default();
    let address = downstream.local_addr()?;
    Ok(Connection {
        downstream: Endpoint::new(
            "downstream",
            downstream,
            [to_upstream, to_downstream],
            &watch,
        )?,
        upstream: Endpoint::new("upstream", upstream, [to_downstream, to_upstream], &watch)?,
        address,
    })
}
