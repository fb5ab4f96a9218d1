//! Reads the egress socket's state: the sensor of the room gate.

use aya_ebpf::bindings::bpf_sock;
use aya_ebpf::helpers::{bpf_map_lookup_elem, bpf_sk_release, bpf_skc_to_tcp_sock};
use scistream_common::Egress;

use crate::maps::TARGETS;
use crate::offsets;

/// The state of the socket `cookie` in `TARGETS`, or `None` when it is gone or not TCP.
#[inline(always)]
pub fn read(cookie: u64) -> Option<Egress> {
    let map = (&raw const TARGETS).cast_mut().cast();
    // SAFETY: a lookup in a SOCKHASH takes a reference on the socket, which is released below on
    // every path; the verifier holds us to it.
    let socket = unsafe { bpf_map_lookup_elem(map, (&raw const cookie).cast()) };
    if socket.is_null() {
        return None;
    }
    let egress = read_referenced(socket.cast());
    // SAFETY: releases the reference the lookup took.
    unsafe { bpf_sk_release(socket) };
    egress
}

/// Reads through the BTF pointer that `bpf_skc_to_tcp_sock` gives.
#[inline(always)]
pub fn read_referenced(socket: *mut bpf_sock) -> Option<Egress> {
    // SAFETY: `socket` is a referenced or context socket; the helper checks that it is TCP.
    let tcp = unsafe { bpf_skc_to_tcp_sock(socket.cast()) }.cast::<u8>();
    if tcp.is_null() {
        return None;
    }
    // SAFETY: the offsets are those of this kernel's own `struct tcp_sock`, which begins with
    // `struct sock`; the verifier checks offset and width of each load against the BTF.
    unsafe {
        Some(Egress {
            state: core::ptr::read_volatile(tcp.add(offsets::state())),
            write_seq: core::ptr::read_volatile(tcp.add(offsets::write_seq()).cast()),
            sndbuf: core::ptr::read_volatile(tcp.add(offsets::sndbuf()).cast()),
            wmem_queued: core::ptr::read_volatile(tcp.add(offsets::wmem_queued()).cast()),
        })
    }
}
