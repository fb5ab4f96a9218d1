//! The same-host hop: messages of an application on the gateway host go straight to the egress
//! socket's send queue, skipping the loopback connection to the gateway.
//!
//! Only egress redirection is used: it is bounded by the egress send buffer and synchronous, so
//! what was redirected is in the queue when sendmsg(2) returns.

use core::ptr::read_volatile;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::sk_action::SK_PASS;
use aya_ebpf::bindings::{
    BPF_NOEXIST, BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB,
};
use aya_ebpf::helpers::bpf_get_socket_cookie;
use aya_ebpf::programs::{SkMsgContext, SockOpsContext, TcContext};
use scistream_common::{LocalEnds, LocalSocket, decide, hop_is_empty};

use crate::maps::{HOPS, LOCAL_APPS, LOCAL_ENDS, SLOTS, TARGETS, WATCHED};
use crate::{egress, verdict};

const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;

/// Remembers a socket whose two ends are on this host and whose gateway end is watched.
#[inline(always)]
pub fn track(ctx: &SockOpsContext) -> Option<()> {
    let gateway_port = match ctx.op() {
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB => u32::from_be(ctx.remote_port()),
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => ctx.local_port(),
        _ => return None,
    } as u16;
    // SAFETY: plain integers.
    unsafe { WATCHED.get(gateway_port) }?;
    let ends = ends(ctx)?;
    // SAFETY: the context is valid; sock_ops may ask for the cookie.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    let socket = LocalSocket {
        cookie,
        send_base: snd_nxt(ctx),
        reserved: 0,
    };
    LOCAL_ENDS.insert(ends, socket, 0).ok()?;
    // SAFETY: the context is a valid bpf_sock_ops for the length of the program.
    let ops = unsafe { &mut *ctx.ops };
    LOCAL_APPS.update(cookie, ops, u64::from(BPF_NOEXIST)).ok()
}

#[inline(always)]
fn snd_nxt(ctx: &SockOpsContext) -> u32 {
    // SAFETY: a field of the valid context.
    unsafe { (*ctx.ops).snd_nxt }
}

/// Both ends, or `None` when they are not on one host.
#[inline(always)]
fn ends(ctx: &SockOpsContext) -> Option<LocalEnds> {
    let ops = ctx.ops.cast_const();
    // All are read before the families part: the verifier refuses a context pointer that was
    // computed, which is what the compiler makes of one load in two branches.
    // SAFETY: fields of the valid context.
    let (local4, remote4, local6, remote6) = unsafe {
        (
            read_volatile(&raw const (*ops).local_ip4),
            read_volatile(&raw const (*ops).remote_ip4),
            words(&raw const (*ops).local_ip6),
            words(&raw const (*ops).remote_ip6),
        )
    };
    let (local, remote) = match ctx.family() {
        AF_INET => (mapped(local4), mapped(remote4)),
        AF_INET6 => (local6, remote6),
        _ => return None,
    };
    let same = local[0] == remote[0] && local[1] == remote[1] && local[2] == remote[2];
    let loopback = (u32::from_be(local[3]) >> 24) == 127 && (u32::from_be(remote[3]) >> 24) == 127;
    if !(same && (local[3] == remote[3] || loopback)) {
        return None;
    }
    Some(LocalEnds {
        local: bytes(local),
        remote: bytes(remote),
        local_port: ctx.local_port() as u16,
        remote_port: u32::from_be(ctx.remote_port()) as u16,
    })
}

/// # Safety
/// `address` is that of a field of a valid context.
#[inline(always)]
unsafe fn words(address: *const [u32; 4]) -> [u32; 4] {
    let first = address.cast::<u32>();
    // SAFETY: the caller's; the context allows loads of single words only.
    unsafe {
        [
            read_volatile(first),
            read_volatile(first.add(1)),
            read_volatile(first.add(2)),
            read_volatile(first.add(3)),
        ]
    }
}

#[inline(always)]
fn mapped(ip: u32) -> [u32; 4] {
    [0, 0, 0xffff_u32.to_be(), ip]
}

#[inline(always)]
fn bytes(words: [u32; 4]) -> [u8; 16] {
    // SAFETY: same size, every bit pattern is valid.
    unsafe { core::mem::transmute(words) }
}

/// Judges one message: redirect when the hop is empty and the egress has room, else the ordinary
/// way through the loopback connection.
///
/// # Errors
/// The reason it goes the ordinary way.
#[inline(always)]
pub fn redirect(ctx: &SkMsgContext) -> Result<(), verdict::Pass> {
    use verdict::Pass;
    let len = ctx.size();
    // SAFETY: `sk` is set for every sk_msg run.
    let sk = unsafe { (*ctx.msg).__bindgen_anon_3.sk };
    if sk.is_null() {
        return Err(Pass::Unknown);
    }
    let (cookie, write_seq) = egress::sender(sk).ok_or(Pass::Unknown)?;
    // SAFETY: plain integers.
    let index = *unsafe { HOPS.get(cookie) }.ok_or(Pass::Unknown)?;
    let slot = SLOTS.get(index).ok_or(Pass::Unknown)?;
    let target = slot.egress_cookie.load();
    let redirected = slot.redirected.load();
    let egress = egress::read_at(slot.egress_address.load()).ok_or(Pass::NoTarget)?;
    let sent = write_seq.wrapping_sub(slot.send_base.load() as u32);
    let queued = egress.write_seq.wrapping_sub(slot.write_base.load() as u32);
    if !hop_is_empty(sent, queued, redirected) {
        return Err(Pass::Gated);
    }
    let flow = verdict::synchronous_flow(egress.write_seq);
    if decide(&flow, &egress, len).is_err() {
        return Err(Pass::Gated);
    }
    if TARGETS.redirect_msg(ctx, target, 0) != i64::from(SK_PASS) {
        return Err(Pass::NoTarget);
    }
    // The sending socket's lock makes this the only writer.
    slot.redirected
        .store(redirected.wrapping_add(u64::from(len)));
    Ok(())
}

/// Where the daemon puts its question in the classifier's input: behind an Ethernet header.
const COOKIE_AT: usize = 16;
const SLOT_AT: usize = 24;

/// Resolves an egress cookie to the socket's address, and notes it in the slot with the sequence
/// number of the first byte that the direction will queue there.
#[inline(always)]
pub fn resolve(ctx: &TcContext) -> Option<()> {
    let cookie = ctx.load::<u64>(COOKIE_AT).ok()?;
    let slot = SLOTS.get(ctx.load::<u32>(SLOT_AT).ok()?)?;
    let (address, write_seq) = egress::address(cookie)?;
    slot.write_base.store(u64::from(write_seq));
    slot.egress_address.store(address);
    Some(())
}
