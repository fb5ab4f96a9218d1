//! The sockmap plane: the kernel redirects received bytes to the paired socket's send queue.
//!
//! ```text
//!   ingress ──► verdict ──room──► egress backlog ──► egress send queue
//!                  │ no room, or older bytes owed
//!                  └──pass──► user space reads, waits for the queue, writes
//! ```
//!
//! [`Program`] is the only place that names aya; [`Lease`] is one direction's slot, and giving it up
//! frees it. Sockets are never removed from the maps: entries vanish when the sockets close (see
//! `LIFECYCLE.md`).

mod local_apps;
mod program;
mod slots;

pub use program::{Program, SockmapError};
pub use slots::{Lease, SlotView};

/// The eBPF object built with this daemon; empty when it was built without one.
pub fn embedded_object() -> &'static [u8] {
    include_bytes!(concat!(env!("OUT_DIR"), "/scistream.bpf.o"))
}
