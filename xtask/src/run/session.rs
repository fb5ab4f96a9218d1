//! `cargo xtask run`: two gateways and a session through both, as those who run and use them set it
//! up, from `s2cs init` to the proof that nothing of it is left.
//!
//! ```text
//!   setup        `s2cs init`; what `s2cs serve` and `s2uc` are run with
//!   pair         one session: `s2uc connect`, `show`, `release`, and its listeners
//!   listening    what listens on a host, by its kernel's list
//! ```
//!
//! The pair of gateways that chooses its plane by itself is the story that is told. Beside it, for
//! the table, there is a pair that insists on each plane, set up and released the same way.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Result, anyhow};
use bpf_tests::gateway::{Gateway, Plane};
use bpf_tests::iperf::{Load, Sink};

use super::checked::{self, Checker};
use super::measure::Measurement;
use super::path::{Path, Relayed, last_lines};
use super::screen::Screen;
use super::stage::Stage;
use super::summary::Row;
use super::watch::PlaneSource;
use super::{Demonstration, RunArgs, TICK, conclude, prepare};

mod listening;
mod pair;
mod setup;

use pair::Made;
pub(super) use pair::Session;
use setup::{Setup, Typed};

/// The planes that a pair of gateways insists on.
const INSISTED: [Plane; 3] = [Plane::Copy, Plane::Splice, Plane::Sockmap];

/// From the producer, who listens, to the consumer, through `s2cs serve` twice.
pub(super) fn demonstrate(args: &RunArgs) -> Result<()> {
    prepare()?;
    let stage = Stage::set(Demonstration::Session)?;
    let screen = Screen::new(args.rounds)?;
    screen.say(&stage.describe(args));
    let spot = stage.sink();
    let sink = Sink::start(spot.place, spot.address, TICK, None)?;
    let target = sink.address();

    let (setup, command) = Setup::make(&stage)?;
    screen.step(
        1,
        &command,
        "An authority, a certificate with the names of both gateways, a token and settings, in a\n\
         private folder that is removed at the end.",
    );
    let chosen = tell_set_up(&setup, target, &screen)?;
    let load = args.load(stage.listener_sends());
    tell_load(&load, &stage, &chosen, &screen);

    screen.announce("three more pairs of gateways, each with a session on one plane");
    let mut paths = vec![Path::direct(target)];
    for plane in INSISTED {
        paths.push(insisting(&setup, plane, target)?);
    }
    paths.push(Path::through(Plane::Auto, Ok(chosen)));
    let measurement = Measurement {
        stage: &stage,
        sink: &sink,
        load: &load,
        screen: &screen,
    };
    measurement.take_rounds(&mut paths, args.rounds)?;
    drop(sink);
    Checker::bind(&stage, target)?.check_all(&mut paths, &screen)?;
    let rows = paths.iter().map(Path::row).collect::<Result<Vec<_>>>()?;
    tell_checked(&rows, &screen);
    tell_release(&paths, &screen)?;
    conclude(&rows, &screen)
}

/// Starts the pair that chooses by itself and makes its session, and says so.
fn tell_set_up<'a>(
    setup: &'a Setup<'a>,
    target: SocketAddr,
    screen: &Screen,
) -> Result<Relayed<'a>> {
    let [spot, _other] = setup.stage().gateways();
    let Typed { line, .. } = setup.serve(spot, Plane::Auto);
    let started = Instant::now();
    let mut gateways = setup.serve_both(Plane::Auto)?;
    let took = started.elapsed();
    let (session, made) = connect(setup, &mut gateways, target)?;
    let [producer, consumer] = session.controls();
    screen.step(
        2,
        &line,
        &format!(
            "On each gateway; both were ready after {} ms. Their control ports, TLS only, for whoever\n\
             has the token: {producer} and {consumer}.",
            took.as_millis()
        ),
    );
    let Made { line, took } = made;
    let way = session.way().join(" -> ");
    screen.step(
        3,
        &line,
        &format!(
            "Asks both gateways at once; after {} ms the session is up. Whoever connects to the first of\n\
             these reaches the last: {way} -> {target}.",
            took.as_millis()
        ),
    );
    relayed(gateways, session)
}

fn tell_load(load: &Load, stage: &Stage, relayed: &Relayed<'_>, screen: &Screen) {
    let Typed { line, .. } = load.command(stage.dialler(), relayed.entrance).into();
    screen.step(
        4,
        &line,
        "Knows nothing of gateways, and has the producer's data sent to the consumer. In turn with it:\n\
         the same without gateways, and through pairs of gateways that insist on one plane each.",
    );
}

fn tell_checked(rows: &[Row], screen: &Screen) {
    let pairs = rows
        .iter()
        .filter(|row| !row.gateway_cpu.is_empty())
        .count();
    let lost: u64 = rows.iter().map(|row| row.lost).sum();
    let mebibytes = checked::BYTES >> 20;
    screen.tell(
        5,
        &format!(
            "{mebibytes} MiB more went through each of the {pairs} pairs; every byte was compared: {lost} were lost."
        ),
    );
}

/// Releases all sessions, and says that nothing is left, if that is so.
fn tell_release(paths: &[Path<'_>], screen: &Screen) -> Result<()> {
    let sessions: Vec<&Session<'_>> = paths.iter().filter_map(Path::session).collect();
    let ports: Vec<_> = sessions
        .iter()
        .flat_map(|session| session.ports())
        .collect();
    for port in &ports {
        port.ensure_held()?;
    }
    let mut line = String::new();
    for session in &sessions {
        line = session.release()?;
    }
    for port in &ports {
        port.ensure_free()?;
    }
    let (ports, sessions) = (ports.len(), sessions.len());
    screen.step(
        6,
        &line,
        &format!(
            "And the others likewise. Nothing listens any more: all {ports} ports of the {sessions} sessions refuse\n\
             connections, and the kernel of neither gateway lists a listener on them."
        ),
    );
    Ok(())
}

/// A pair of gateways that insists on `plane`; a row that says why, where they do not start.
fn insisting<'a>(setup: &'a Setup<'a>, plane: Plane, target: SocketAddr) -> Result<Path<'a>> {
    let mut gateways = match setup.serve_both(plane) {
        Ok(gateways) => gateways,
        Err(declined) => return Ok(Path::through(plane, Err(declined))),
    };
    let (session, _made) = connect(setup, &mut gateways, target)?;
    Ok(Path::through(plane, Ok(relayed(gateways, session)?)))
}

/// Makes a session through gateways that are up.
fn connect<'a>(
    setup: &'a Setup<'a>,
    gateways: &mut [Gateway],
    target: SocketAddr,
) -> Result<(Session<'a>, Made)> {
    let connected = Session::connect(setup, gateways, target);
    connected.map_err(|error| {
        let lines: Vec<_> = gateways.iter_mut().map(last_lines).collect();
        let lines = lines.join("\n");
        anyhow!("{error:#}; the last lines of the two gateways:\n{lines}")
    })
}

fn relayed<'a>(gateways: Vec<Gateway>, session: Session<'a>) -> Result<Relayed<'a>> {
    Ok(Relayed {
        gateways,
        entrance: session.entrance()?,
        source: PlaneSource::Session(session),
    })
}
