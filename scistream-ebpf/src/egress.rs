//! Reads the egress socket's state: the sensor of the room gate.

use core::ptr::read_volatile;

use aya_ebpf::bindings::bpf_sock;
use aya_ebpf::helpers::{
    bpf_map_lookup_elem, bpf_probe_read_kernel, bpf_sk_release, bpf_skc_to_tcp_sock,
};
use scistream_common::Egress;

use crate::maps::TARGETS;
use crate::offsets;

/// The state of the socket `cookie` in `TARGETS`, or `None` when it is gone or not TCP.
#[inline(always)]
pub fn read(cookie: u64) -> Option<Egress> {
    with_target(cookie, |tcp| {
        // SAFETY: the offsets are those of this kernel's own `struct tcp_sock`, which begins with
        // `struct sock`; the verifier checks offset and width of each load against the BTF.
        unsafe {
            Egress {
                state: read_volatile(tcp.add(offsets::state())),
                write_seq: read_volatile(tcp.add(offsets::write_seq()).cast()),
                sndbuf: read_volatile(tcp.add(offsets::sndbuf()).cast()),
                wmem_queued: read_volatile(tcp.add(offsets::wmem_queued()).cast()),
            }
        }
    })
}

/// The kernel address and the `write_seq` of the socket `cookie` in `TARGETS`.
#[inline(always)]
pub fn address(cookie: u64) -> Option<(u64, u32)> {
    with_target(cookie, |tcp| {
        // SAFETY: as in `read`.
        let write_seq = unsafe { read_volatile(tcp.add(offsets::write_seq()).cast()) };
        (tcp as u64, write_seq)
    })
}

/// As [`read`], by address, for message programs: they may not release what a lookup references.
#[inline(always)]
pub fn read_at(address: u64) -> Option<Egress> {
    let tcp = address as *const u8;
    // SAFETY: bpf_probe_read_kernel tolerates any address.
    unsafe {
        Some(Egress {
            state: bpf_probe_read_kernel(tcp.add(offsets::state())).ok()?,
            write_seq: bpf_probe_read_kernel(tcp.add(offsets::write_seq()).cast()).ok()?,
            sndbuf: bpf_probe_read_kernel(tcp.add(offsets::sndbuf()).cast()).ok()?,
            wmem_queued: bpf_probe_read_kernel(tcp.add(offsets::wmem_queued()).cast()).ok()?,
        })
    }
}

#[inline(always)]
fn with_target<T>(cookie: u64, read: impl FnOnce(*const u8) -> T) -> Option<T> {
    let map = (&raw const TARGETS).cast_mut().cast();
    // SAFETY: a lookup in a SOCKHASH takes a reference on the socket, which is released below on
    // every path; the verifier holds us to it.
    let socket = unsafe { bpf_map_lookup_elem(map, (&raw const cookie).cast()) };
    if socket.is_null() {
        return None;
    }
    let answer = tcp_sock(socket.cast()).map(read);
    // SAFETY: releases the reference the lookup took.
    unsafe { bpf_sk_release(socket) };
    answer
}

/// Cookie and `write_seq` of the socket that a message program runs for: it may not call
/// `bpf_get_socket_cookie`, and the cookie was made when the socket was tracked.
#[inline(always)]
pub fn sender(socket: *mut bpf_sock) -> Option<(u64, u32)> {
    let tcp = tcp_sock(socket)?;
    // SAFETY: as in `read`.
    unsafe {
        let cookie = read_volatile(tcp.add(offsets::cookie()).cast());
        Some((cookie, read_volatile(tcp.add(offsets::write_seq()).cast())))
    }
}

/// `copied_seq` of the socket that a verdict runs for: the first byte that no receive call took.
#[inline(always)]
pub fn copied_seq(socket: *mut bpf_sock) -> Option<u32> {
    if socket.is_null() {
        return None;
    }
    let tcp = tcp_sock(socket)?;
    // SAFETY: as in `read`.
    Some(unsafe { read_volatile(tcp.add(offsets::copied_seq()).cast()) })
}

#[inline(always)]
fn tcp_sock(socket: *mut bpf_sock) -> Option<*const u8> {
    // SAFETY: a referenced or context socket; the helper answers null when it is not TCP.
    let tcp = unsafe { bpf_skc_to_tcp_sock(socket.cast()) };
    (!tcp.is_null()).then_some(tcp.cast::<u8>().cast_const())
}
