//! Names of maps, programs and globals: one constant each, used by the loader.
//!
//! Rust attributes cannot take constants, so the programs spell these again; loading fails with
//! the missing name when the two differ. Map names are cut at 15 characters by the kernel.

/// Verdict program of sockets whose received bytes may be redirected.
pub const REDIRECT_TO_PEER: &str = "redirect_to_peer";
/// Stream parser, attached when the object has one; the gateway's own has none.
pub const TAKE_ALL: &str = "take_all";
/// Message program of local applications' sockets (same-host hop).
pub const REDIRECT_MESSAGE: &str = "redirect_message";
/// Socket-operations program that finds local applications' sockets.
pub const TRACK_LOCAL_APPS: &str = "track_local_apps";
/// Classifier that resolves an egress cookie to the socket's address; run by the daemon.
pub const RESOLVE_EGRESS: &str = "resolve_egress";

/// Ingress sockets, by socket cookie; the verdict program is attached here.
pub const SOURCES: &str = "SOURCES";
/// Egress sockets, by socket cookie; no program.
pub const TARGETS: &str = "TARGETS";
/// Slot index of an ingress socket, by socket cookie.
pub const FLOWS: &str = "FLOWS";
/// One [`crate::DirectionSlot`] per direction, memory-mapped by the daemon.
pub const SLOTS: &str = "SLOTS";
/// Ring of [`crate::Notice`]s.
pub const NOTICES: &str = "NOTICES";
/// How many notices found the ring full; memory-mapped by the daemon.
pub const LOST: &str = "LOST";
/// Sockets of local applications, by socket cookie; the message program is attached here.
pub const LOCAL_APPS: &str = "LOCAL_APPS";
/// Cookie of a local application's socket, by its [`crate::LocalEnds`].
pub const LOCAL_ENDS: &str = "LOCAL_ENDS";
/// Slot index of a local application's socket, by socket cookie.
pub const HOPS: &str = "HOPS";
/// Ports whose same-host connections are tracked.
pub const WATCHED: &str = "WATCHED";

/// Read-only globals: byte offsets of kernel struct fields, found by the daemon in the BTF.
pub mod offset {
    /// `tcp_sock.write_seq`, u32.
    pub const WRITE_SEQ: &str = "WRITE_SEQ_OFFSET";
    /// `sock_common.skc_cookie`, u64.
    pub const COOKIE: &str = "COOKIE_OFFSET";
    /// `sock_common.skc_state`, u8.
    pub const STATE: &str = "STATE_OFFSET";
    /// `sock.sk_sndbuf`, i32.
    pub const SNDBUF: &str = "SNDBUF_OFFSET";
    /// `sock.sk_wmem_queued`, i32.
    pub const WMEM_QUEUED: &str = "WMEM_QUEUED_OFFSET";
    /// `tcp_sock.copied_seq`, u32.
    pub const COPIED_SEQ: &str = "COPIED_SEQ_OFFSET";
    /// `sk_buff.cb`, which begins with TCP's `seq` (`struct tcp_skb_cb`).
    pub const SKB_CB: &str = "SKB_CB_OFFSET";
    /// `sk_buff.head`, pointer.
    pub const SKB_HEAD: &str = "SKB_HEAD_OFFSET";
    /// `sk_buff.end`, u32.
    pub const SKB_END: &str = "SKB_END_OFFSET";
    /// `skb_shared_info.nr_frags`, u8.
    pub const NR_FRAGS: &str = "NR_FRAGS_OFFSET";
}
