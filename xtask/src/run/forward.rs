//! `cargo xtask run forward`: one gateway without a control plane, on each plane in turn.

use std::net::SocketAddr;
use std::path::Path as FilePath;

use anyhow::Result;
use bpf_tests::gateway::{GatewayOptions, Plane};
use bpf_tests::iperf::Sink;

use super::checked::Checker;
use super::measure::Measurement;
use super::path::{Path, Relayed};
use super::screen::Screen;
use super::stage::Stage;
use super::watch::PlaneSource;
use super::{Demonstration, RunArgs, TICK, conclude, prepare};

/// From producer to consumer, who listens, through `s2cs forward`.
pub(super) fn demonstrate(args: &RunArgs) -> Result<()> {
    let binary = prepare()?;
    let stage = Stage::set(Demonstration::Forward)?;
    let screen = Screen::new(args.rounds)?;
    screen.say(&stage.describe(args));
    let spot = stage.sink();
    let sink = Sink::start(spot.place, spot.address, TICK, None)?;
    let mut paths = vec![Path::direct(sink.address())];
    for plane in [Plane::Copy, Plane::Splice, Plane::Sockmap, Plane::Auto] {
        let relayed = start(&binary, plane, &stage, sink.address());
        paths.push(Path::through(plane, relayed));
    }

    let measurement = Measurement {
        stage: &stage,
        sink: &sink,
        load: &args.load(stage.listener_sends()),
        screen: &screen,
    };
    measurement.take_rounds(&mut paths, args.rounds)?;
    let target = sink.address();
    drop(sink);
    let checker = Checker::bind(&stage, target)?;
    checker.check_all(&mut paths, &screen)?;
    screen.end_live();
    let rows = paths.iter().map(Path::row).collect::<Result<Vec<_>>>()?;
    conclude(&rows, &screen)
}

/// A gateway on `plane`. One that does not start is a row that says why.
fn start(
    binary: &FilePath,
    plane: Plane,
    stage: &Stage,
    target: SocketAddr,
) -> Result<Relayed<'static>> {
    let [spot, _the_same] = stage.gateways();
    let interval = format!("{}ms", TICK.as_millis());
    let options = GatewayOptions::new(binary, plane)
        .listen(spot.address)
        .target(target)
        .args(["--stats-interval", &interval]);
    let gateway = options.start(spot.place)?;
    Ok(Relayed {
        entrance: gateway.address()?,
        gateways: vec![gateway],
        source: PlaneSource::Reports,
    })
}
