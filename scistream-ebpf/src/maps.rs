//! The maps: one set for all connections.

use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LruHashMap, RingBuf, SockHash};
use scistream_common::limits::{MAX_DIRECTIONS, NOTICE_RING_BYTES};
use scistream_common::{DirectionSlot, LocalEnds, LocalSocket, SharedWord};

/// `BPF_F_NO_PREALLOC` of `include/uapi/linux/bpf.h`: memory grows with the connections.
const NO_PREALLOC: u32 = 1;
/// `BPF_F_MMAPABLE` of `include/uapi/linux/bpf.h`: the daemon reads counters without system calls.
const MMAPABLE: u32 = 1 << 10;

/// Ingress sockets by cookie; a socket here has its received segments judged.
#[map]
pub static SOURCES: SockHash<u64> = SockHash::with_max_entries(MAX_DIRECTIONS, 0);

/// Egress sockets by cookie; being here costs them nothing.
#[map]
pub static TARGETS: SockHash<u64> = SockHash::with_max_entries(MAX_DIRECTIONS, 0);

/// Slot index by ingress cookie.
#[map]
pub static FLOWS: HashMap<u64, u32> = HashMap::with_max_entries(MAX_DIRECTIONS, NO_PREALLOC);

/// Counters of each direction.
#[map]
pub static SLOTS: Array<DirectionSlot> = Array::with_max_entries(MAX_DIRECTIONS, MMAPABLE);

/// "You have passed bytes to read": one record per direction that user space had caught up with.
#[map]
pub static NOTICES: RingBuf = RingBuf::with_byte_size(NOTICE_RING_BYTES, 0);

/// Notices that found the ring full.
#[map]
pub static LOST: Array<SharedWord> = Array::with_max_entries(1, MMAPABLE);

/// Sockets of local applications by cookie; a socket here has its sent messages judged.
#[map]
pub static LOCAL_APPS: SockHash<u64> = SockHash::with_max_entries(MAX_DIRECTIONS, 0);

/// A local application's socket by its ends. The daemon reads an entry when it accepts or dials the
/// other end, so the least recently used ones are of no use any more.
#[map]
pub static LOCAL_ENDS: LruHashMap<LocalEnds, LocalSocket> = LruHashMap::with_max_entries(16_384, 0);

/// Slot index by a local application's cookie. Apart from `FLOWS`: when the daemon itself runs in the
/// tracked cgroup, one of its own sockets may have a slot there, for the bytes it receives.
#[map]
pub static HOPS: HashMap<u64, u32> = HashMap::with_max_entries(MAX_DIRECTIONS, NO_PREALLOC);

/// Ports whose same-host connections are tracked.
#[map]
pub static WATCHED: HashMap<u16, u32> = HashMap::with_max_entries(4096, NO_PREALLOC);
