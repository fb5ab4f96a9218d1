//! A bare relay around the engine and any build of the BPF object, without the self-test that keeps
//! the gateway from running the wrong ones. It measured what a stream parser costs (ADR 3):
//!
//! ```text
//! cargo run --release --example any_object -- target/bpf/parsed 10.71.1.1:7000 10.71.2.2:5201
//! ```

use std::net::{TcpListener, TcpStream};

use anyhow::Context as _;
use scistream_daemon::dataplane::engine::{Engine, EngineConfig};
use scistream_daemon::dataplane::live::RelayOrder;
use scistream_daemon::dataplane::sockmap::Program;
use scistream_daemon::dataplane::{PlaneChoice, StreamPair};

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let mut next = || args.next().context("any_object OBJECT LISTEN TARGET");
    let (object, listen, target) = (next()?, next()?, next()?);
    let object = std::fs::read(&object).with_context(|| format!("cannot read {object}"))?;
    let engine = Engine::start(EngineConfig {
        workers: std::thread::available_parallelism()?.get(),
        choice: PlaneChoice::Sockmap,
        program: Some(Program::load(&object)?),
        wide_pipes: 0,
    })?;
    let listener = TcpListener::bind(&listen).with_context(|| format!("cannot bind {listen}"))?;
    for accepted in listener.incoming() {
        let pair = StreamPair {
            downstream: accepted?,
            upstream: TcpStream::connect(&target)?,
        };
        for socket in [&pair.downstream, &pair.upstream] {
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
        }
        engine.submit(pair, RelayOrder::default(), |_transferred| {});
    }
    Ok(())
}
