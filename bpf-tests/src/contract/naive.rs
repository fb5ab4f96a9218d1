//! The naive verdict in the kernel: `target/bpf/naive` redirects every segment, whatever the room.
//! A relay around it shows that the checks find what it does wrong. No part of the product.

use std::mem::offset_of;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use aya::maps::{Array, HashMap, MapData, SockHash};
use aya::programs::SkSkb;
use aya::{Ebpf, EbpfLoader};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{RecvFlags, recv, sockopt::socket_cookie};
use scistream_common::{DirectionSlot, names};

/// A slot as words.
type SlotWords = [u64; size_of::<DirectionSlot>() / size_of::<u64>()];

/// The program, loaded, and its maps.
pub(super) struct NaiveVerdict {
    maps: Mutex<Maps>,
    /// Keeps the program attached.
    _ebpf: Ebpf,
}

struct Maps {
    sources: SockHash<MapData, u64>,
    targets: SockHash<MapData, u64>,
    flows: HashMap<MapData, u64, u32>,
    slots: Array<MapData, SlotWords>,
    next: u32,
}

impl NaiveVerdict {
    /// Loads the object that `cargo xtask build` leaves beside the programs it builds.
    pub(super) fn load() -> Result<Self> {
        let object = find_object()?;
        let mut ebpf = EbpfLoader::new()
            .load_file(&object)
            .with_context(|| format!("loading {}", object.display()))?;
        let mut take =
            |name: &'static str| ebpf.take_map(name).with_context(|| format!("no {name}"));
        let maps = Maps {
            sources: SockHash::try_from(take(names::SOURCES)?)?,
            targets: SockHash::try_from(take(names::TARGETS)?)?,
            flows: HashMap::try_from(take(names::FLOWS)?)?,
            slots: Array::try_from(take(names::SLOTS)?)?,
            next: 0,
        };
        let program = ebpf
            .program_mut(names::REDIRECT_TO_PEER)
            .context("no verdict")?;
        let program: &mut SkSkb = program.try_into()?;
        program.load()?;
        program.attach(maps.sources.fd())?;
        Ok(Self {
            maps: Mutex::new(maps),
            _ebpf: ebpf,
        })
    }

    /// Relays one connection until its downstream end goes away.
    pub(super) fn relay(&self, downstream: &TcpStream, target: SocketAddr) {
        let Ok(upstream) = TcpStream::connect(target) else {
            return;
        };
        let mut maps = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        let joined = maps.join(downstream, &upstream);
        drop(maps);
        match joined {
            Ok(()) => {
                // Returns when the end closes or breaks; the data go by in the kernel.
                let mut gone = [PollFd::new(downstream, PollFlags::RDHUP)];
                let _count = poll(&mut gone, None);
            }
            Err(error) => eprintln!("the naive verdict took no connection: {error:#}"),
        }
    }
}

impl Maps {
    fn join(&mut self, downstream: &TcpStream, upstream: &TcpStream) -> Result<()> {
        for (ingress, egress) in [(downstream, upstream), (upstream, downstream)] {
            let (from, to) = (socket_cookie(ingress)?, socket_cookie(egress)?);
            let mut slot = SlotWords::default();
            slot[offset_of!(DirectionSlot, egress_cookie) / size_of::<u64>()] = to;
            self.slots.set(self.next, slot, 0)?;
            self.flows.insert(from, self.next, 0)?;
            self.targets.insert(to, egress.as_raw_fd(), 0)?;
            self.next += 1;
        }
        for socket in [downstream, upstream] {
            self.sources
                .insert(socket_cookie(socket)?, socket.as_raw_fd(), 0)?;
            // What came before the insertion reaches the program when somebody looks.
            let look = RecvFlags::DONTWAIT | RecvFlags::PEEK;
            let _nothing_or_something = recv(socket, &mut [0; 1], look);
        }
        Ok(())
    }
}

fn find_object() -> Result<PathBuf> {
    let running = std::env::current_exe()?;
    let mut folders = running.ancestors().map(|folder| folder.join("bpf/naive"));
    folders
        .find(|object| object.is_file())
        .context("there is no target/bpf/naive; build it with `cargo xtask build`")
}
