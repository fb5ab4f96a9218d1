//! The loads of plain sockets between real hosts of the lab.

use std::time::Duration;

use anyhow::Result;
use bpf_tests::capability::Capability;
use bpf_tests::load;
use bpf_tests::load::connections::{Answering, ConnectionLoad, spare_ports};
use bpf_tests::load::idle::IdleConnections;
use bpf_tests::load::messages::MessageLoad;
use bpf_tests::require;
use bpf_tests::topology::{Family, LinkOptions, Topology};

#[test]
fn messages_cross_the_gateway_in_order() -> Result<()> {
    require!(Capability::Netns, Ok(()));
    let topology = Topology::one(&LinkOptions::default())?;
    let listener = load::listen(topology.consumer.netns(), topology.consumer.ip(Family::V6))?;
    let target = listener.local_addr()?;
    let (near, far) = load::join(topology.producer.netns(), target, &listener)?;
    let messages = MessageLoad {
        size: 1_024,
        interval: Duration::from_micros(100),
        count: 1_000,
    };
    assert_eq!(messages.run(&near, &far)?.latencies_ns.len(), 1_000);
    Ok(())
}

#[test]
fn connections_are_made_from_the_producer_and_answered_at_the_consumer() -> Result<()> {
    require!(Capability::Netns, Ok(()));
    let topology = Topology::one(&LinkOptions::default())?;
    spare_ports(&topology)?;
    let listener = load::listen(topology.consumer.netns(), topology.consumer.ip(Family::V4))?;
    let target = listener.local_addr()?;
    let _answering = Answering::start(listener, 2)?;
    let load = ConnectionLoad {
        workers: 2,
        duration: Duration::from_millis(100),
    };
    let report = load.run(topology.producer.netns(), target);
    assert!(report.completed > 0 && report.failed == 0, "{report:?}");
    Ok(())
}

#[test]
fn idle_connections_stay_open_on_both_ends() -> Result<()> {
    require!(Capability::Netns, Ok(()));
    let topology = Topology::one(&LinkOptions::default())?;
    let listener = load::listen(topology.consumer.netns(), topology.consumer.ip(Family::V4))?;
    let target = listener.local_addr()?;
    let idle = IdleConnections::open(50, topology.producer.netns(), target, &listener)?;
    assert_eq!(idle.count(), 50);
    let count = |host: &bpf_tests::topology::Host| {
        host.netns().run(&["ss", "-Htn", "state", "established"])
    };
    assert_eq!(count(&topology.producer)?.lines().count(), 50);
    assert_eq!(count(&topology.consumer)?.lines().count(), 50);
    Ok(())
}
