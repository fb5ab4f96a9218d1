//! Loads the eBPF object and holds its maps. The only file that names aya.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use aya::maps::{HashMap, Map, MapData, MapError, RingBuf, SockHash};
use aya::programs::{ProgramError, SkSkb};
use aya::{Ebpf, EbpfLoader};
use scistream_common::{DirectionSlot, Notice, SharedWord, limits, names};

use super::local_apps::LocalApps;
use super::slots::{Kind, Lease, Slots};
use crate::btf::{Btf, BtfError};
use crate::sys;
use crate::sys::shared_map::SharedArray;

/// How often a program is offered to the kernel, as libbpf does: a signal that waits for the thread,
/// a stop say, makes the verifier give up with `EAGAIN`, which says nothing about the program.
const LOAD_ATTEMPTS: u32 = 5;

/// Why the sockmap plane cannot be had, or a socket cannot join it.
#[derive(Debug, thiserror::Error)]
pub enum SockmapError {
    /// The daemon was built without the object.
    #[error("this daemon was built without the eBPF object; build it with `cargo xtask build`")]
    NoObject,
    /// The kernel's types could not be read.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// The object was refused; the verifier's log is in the source.
    #[error("the kernel refused the eBPF object")]
    Load(#[from] Box<aya::EbpfError>),
    /// A program was refused or could not be attached.
    #[error("the kernel refused the eBPF program")]
    Program(#[from] Box<ProgramError>),
    /// A map operation failed.
    #[error("the kernel refused a map operation")]
    Map(#[from] MapError),
    /// The object lacks what the daemon looks for.
    #[error("the eBPF object has no {0}; daemon and object are of different builds")]
    Missing(&'static str),
    /// All slots are in use.
    #[error("all sockmap slots are in use")]
    NoSlot,
    /// An egress socket is not in its map.
    #[error("the egress socket left its map")]
    Unresolved,
    /// Shared memory could not be mapped.
    #[error(transparent)]
    Sys(#[from] sys::Error),
}

/// The loaded programs and their maps; closing it unloads them once the last socket is gone.
pub struct Program {
    /// Keeps the programs attached.
    ebpf: Mutex<Ebpf>,
    local_apps: OnceLock<Mutex<LocalApps>>,
    maps: Mutex<SocketMaps>,
    notices: Mutex<RingBuf<MapData>>,
    notices_fd: OwnedFd,
    lost: SharedArray<SharedWord>,
    slots: Slots,
    /// Programs that are loaded later refer to these maps by descriptor.
    _mapped: [MapData; 2],
}

struct SocketMaps {
    sources: SockHash<MapData, u64>,
    targets: SockHash<MapData, u64>,
    flows: HashMap<MapData, u64, u32>,
}

impl Program {
    /// Loads `object` into the kernel and attaches the verdict.
    ///
    /// # Errors
    /// Each variant of [`SockmapError`] says what was refused.
    pub fn load(object: &[u8]) -> Result<Arc<Self>, SockmapError> {
        if object.is_empty() {
            return Err(SockmapError::NoObject);
        }
        let offsets = kernel_offsets(&Btf::of_kernel()?)?;
        let mut loader = EbpfLoader::new();
        for (name, offset) in &offsets {
            loader.override_global(name, offset, false);
        }
        let mut ebpf = loader.load(object).map_err(Box::new)?;
        let sources = SockHash::try_from(take(&mut ebpf, names::SOURCES)?)?;
        attach_verdict(&mut ebpf, &sources)?;
        let slots = mapped_fd(take(&mut ebpf, names::SLOTS)?, names::SLOTS)?;
        let lost = mapped_fd(take(&mut ebpf, names::LOST)?, names::LOST)?;
        let maps = SocketMaps {
            sources,
            targets: SockHash::try_from(take(&mut ebpf, names::TARGETS)?)?,
            flows: HashMap::try_from(take(&mut ebpf, names::FLOWS)?)?,
        };
        let notices = take(&mut ebpf, names::NOTICES)?;
        Ok(Arc::new(Self {
            maps: Mutex::new(maps),
            notices_fd: ring_fd(&notices)?,
            notices: Mutex::new(RingBuf::try_from(notices)?),
            lost: SharedArray::map(lost.fd(), 1)?,
            slots: Slots::new(SharedArray::<DirectionSlot>::map(
                slots.fd(),
                limits::MAX_DIRECTIONS as usize,
            )?),
            _mapped: [slots, lost],
            ebpf: Mutex::new(ebpf),
            local_apps: OnceLock::new(),
        }))
    }

    /// Takes a free slot for the direction out of `ingress_cookie` into `egress_cookie`, zeroed and
    /// known to the program.
    ///
    /// # Errors
    /// No slot is free, or the map refuses the cookie.
    pub fn lease(
        self: &Arc<Self>,
        ingress_cookie: u64,
        egress_cookie: u64,
    ) -> Result<Lease, SockmapError> {
        let index = self.slots.take(egress_cookie).ok_or(SockmapError::NoSlot)?;
        let lease = Lease::new(Arc::clone(self), index, ingress_cookie, Kind::Verdict);
        self.maps().flows.insert(ingress_cookie, index, 0)?;
        Ok(lease)
    }

    /// Tracks the applications in `cgroup` from now on, on connections that touch one of `ports`.
    ///
    /// # Errors
    /// Each variant of [`SockmapError`] says what was refused.
    pub fn track_local_apps(&self, cgroup: &File, ports: &[u16]) -> Result<(), SockmapError> {
        let mut ebpf = self.ebpf.lock().unwrap_or_else(PoisonError::into_inner);
        let mut local_apps = LocalApps::attach(&mut ebpf, cgroup)?;
        for port in ports {
            local_apps.watch(*port)?;
        }
        // Called once, at start; a second call would find the maps taken, above.
        let _first = self.local_apps.set(Mutex::new(local_apps));
        Ok(())
    }

    /// Whether applications on this host are tracked.
    pub fn has_local_apps(&self) -> bool {
        self.local_apps.get().is_some()
    }

    /// Takes a slot for the direction out of the local application at the other end of `ours` to
    /// `peer`; `None` when there is none there. The egress is in its map already.
    ///
    /// # Errors
    /// No slot is free, or the kernel refused a step.
    pub fn lease_local(
        self: &Arc<Self>,
        ours: SocketAddr,
        peer: SocketAddr,
        egress_cookie: u64,
    ) -> Result<Option<Lease>, SockmapError> {
        let Some(mut local_apps) = self.local_apps() else {
            return Ok(None);
        };
        let Some(socket) = local_apps.find(ours, peer) else {
            return Ok(None);
        };
        let index = self.slots.take(egress_cookie).ok_or(SockmapError::NoSlot)?;
        self.slots.set_send_base(index, socket.send_base);
        let lease = Lease::new(Arc::clone(self), index, socket.cookie, Kind::Hop);
        let mut ebpf = self.ebpf.lock().unwrap_or_else(PoisonError::into_inner);
        let joined = LocalApps::resolve(&mut ebpf, egress_cookie, index)
            .and_then(|()| local_apps.join(socket.cookie, index));
        // The lease, when it is dropped, asks for the same lock.
        drop(local_apps);
        joined.map(|()| Some(lease))
    }

    /// Lets segments be redirected to `socket`.
    ///
    /// # Errors
    /// The kernel takes established TCP sockets without a ULP only.
    pub fn insert_target(&self, cookie: u64, socket: BorrowedFd<'_>) -> Result<(), SockmapError> {
        Ok(self.maps().targets.insert(cookie, socket.as_raw_fd(), 0)?)
    }

    /// Hands the segments that `socket` receives from now on to the verdict.
    ///
    /// # Errors
    /// The kernel takes established TCP sockets without a ULP only.
    pub fn insert_source(&self, cookie: u64, socket: BorrowedFd<'_>) -> Result<(), SockmapError> {
        Ok(self.maps().sources.insert(cookie, socket.as_raw_fd(), 0)?)
    }

    /// Calls `each` for every pending notice.
    pub fn drain_notices(&self, mut each: impl FnMut(Notice)) {
        let mut ring = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(item) = ring.next() {
            if let Some(notice) = Notice::from_bytes(&item) {
                each(notice);
            }
        }
    }

    /// The descriptor that polls readable when notices are pending.
    pub fn notices(&self) -> BorrowedFd<'_> {
        self.notices_fd.as_fd()
    }

    /// How many notices found the ring full since the start.
    pub fn lost_notices(&self) -> u64 {
        self.lost.get(0).map_or(0, SharedWord::load)
    }

    /// The slots, for reading counters.
    pub(super) fn slots(&self) -> &Slots {
        &self.slots
    }

    /// Takes a closed direction out of the program's sight and frees its slot.
    pub(super) fn retire(&self, index: u32, cookie: u64, kind: Kind) {
        match kind {
            Kind::Verdict => {
                // Not there when the lease's own insertion failed.
                let _gone = self.maps().flows.remove(&cookie);
            }
            Kind::Hop => {
                if let Some(mut local_apps) = self.local_apps() {
                    local_apps.part(cookie);
                }
            }
        }
        self.slots.give_back(index);
    }

    fn local_apps(&self) -> Option<MutexGuard<'_, LocalApps>> {
        let local_apps = self.local_apps.get()?;
        Some(local_apps.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Bytes redirected since the start, by live and past directions.
    pub fn redirected(&self) -> u64 {
        self.slots.redirected()
    }

    /// Entries in (sources, targets, flows): what tests compare before and after.
    pub fn entries(&self) -> (usize, usize, usize) {
        let maps = self.maps();
        (
            maps.sources.keys().count(),
            maps.targets.keys().count(),
            maps.flows.keys().count(),
        )
    }

    fn maps(&self) -> MutexGuard<'_, SocketMaps> {
        self.maps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn attach_verdict(ebpf: &mut Ebpf, sources: &SockHash<MapData, u64>) -> Result<(), SockmapError> {
    let program: &mut SkSkb = ebpf
        .program_mut(names::REDIRECT_TO_PEER)
        .ok_or(SockmapError::Missing(names::REDIRECT_TO_PEER))?
        .try_into()
        .map_err(Box::new)?;
    load(|| program.load())?;
    program.attach(sources.fd()).map_err(Box::new)?;
    // The tests' object brings a parser, to show why ours has none.
    if let Some(parser) = ebpf.program_mut(names::TAKE_ALL) {
        let parser: &mut SkSkb = parser.try_into().map_err(Box::new)?;
        load(|| parser.load())?;
        parser.attach(sources.fd()).map_err(Box::new)?;
    }
    Ok(())
}

/// Has the kernel take a program; `offer` is one attempt.
pub(super) fn load(
    mut offer: impl FnMut() -> Result<(), ProgramError>,
) -> Result<(), SockmapError> {
    for _ in 1..LOAD_ATTEMPTS {
        match offer() {
            Err(ProgramError::LoadError { io_error, .. })
                if io_error.kind() == io::ErrorKind::WouldBlock => {}
            outcome => return Ok(outcome.map_err(Box::new)?),
        }
    }
    Ok(offer().map_err(Box::new)?)
}

pub(super) fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, SockmapError> {
    ebpf.take_map(name).ok_or(SockmapError::Missing(name))
}

fn mapped_fd(map: Map, name: &'static str) -> Result<MapData, SockmapError> {
    let Map::Array(data) = map else {
        return Err(SockmapError::Missing(name));
    };
    Ok(data)
}

fn ring_fd(map: &Map) -> Result<OwnedFd, SockmapError> {
    let Map::RingBuf(data) = map else {
        return Err(SockmapError::Missing(names::NOTICES));
    };
    let fd = data.fd().as_fd().try_clone_to_owned();
    Ok(fd.map_err(|error| sys::Error::new("dup(ring)", error))?)
}

fn kernel_offsets(btf: &Btf) -> Result<[(&'static str, u32); 10], BtfError> {
    use names::offset;
    let globals = [
        offset::WRITE_SEQ,
        offset::STATE,
        offset::SNDBUF,
        offset::WMEM_QUEUED,
        offset::SKB_HEAD,
        offset::SKB_END,
        offset::NR_FRAGS,
        offset::COOKIE,
        offset::COPIED_SEQ,
        offset::SKB_CB,
    ];
    let found = btf.offsets([
        ("tcp_sock", "write_seq"),
        ("sock_common", "skc_state"),
        ("sock", "sk_sndbuf"),
        ("sock", "sk_wmem_queued"),
        ("sk_buff", "head"),
        ("sk_buff", "end"),
        ("skb_shared_info", "nr_frags"),
        ("sock_common", "skc_cookie"),
        ("tcp_sock", "copied_seq"),
        ("sk_buff", "cb"),
    ])?;
    Ok(std::array::from_fn(|index| (globals[index], found[index])))
}
