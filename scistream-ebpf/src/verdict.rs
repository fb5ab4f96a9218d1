//! The verdict over one received segment: redirect it to the egress socket, or pass it.
//!
//! Nothing is ever dropped: TCP has acknowledged the bytes (or will), so every way out that is not
//! a redirect passes them to user space, in order.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::sk_action::SK_PASS;
use aya_ebpf::helpers::{bpf_get_socket_cookie, bpf_probe_read_kernel};
use aya_ebpf::programs::SkBuffContext;
use scistream_common::{DirectionSlot, Flow, Notice, decide};

use crate::maps::{FLOWS, LOST, NOTICES, SLOTS, TARGETS};
use crate::sequence::cut_repeated;
use crate::{egress, offsets};

/// Why a segment was passed.
#[derive(Clone, Copy)]
pub enum Pass {
    /// Nothing to redirect: a FIN, or bytes that had all come before.
    Empty,
    /// It begins with bytes that had come before, and they could not be cut off.
    Repeated,
    /// The ingress socket has no slot: it was inserted and not yet filled, or by a stranger.
    Unknown,
    /// The room gate said no.
    Gated,
    /// The egress socket left its map, or refuses redirection.
    NoTarget,
}

/// A linearised segment costs one copy; a fragment costs one sendmsg. Above this many small
/// fragments the copy is cheaper.
const PULL_ABOVE_FRAGMENTS: u32 = 4;
/// Fragments of this size and more are cheap as they are (jumbo frames, TSO pages).
const SMALL_FRAGMENT: u32 = 4096;

/// Judges one segment.
///
/// # Errors
/// The reason it is passed; the caller returns `SK_PASS` in either case.
#[inline(always)]
pub fn redirect(ctx: &SkBuffContext) -> Result<(), Pass> {
    let len = ctx.len();
    if len == 0 {
        return Err(Pass::Empty);
    }
    // SAFETY: the context is a valid sk_buff whose socket the kernel has set.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    // SAFETY: the value is a plain integer, written once before the socket entered SOURCES.
    let index = *unsafe { FLOWS.get(cookie) }.ok_or(Pass::Unknown)?;
    let slot = SLOTS.get(index).ok_or(Pass::Unknown)?;
    let Ok(len) = cut_repeated(ctx, slot, len) else {
        slot.passing.store(DirectionSlot::REPEATED);
        notify(slot, index);
        return Err(Pass::Repeated);
    };
    if len == 0 {
        return Err(Pass::Empty);
    }
    match judge(ctx, slot, len) {
        Ok(()) => Ok(()),
        Err(pass) => {
            count_pass(slot, index, len);
            Err(pass)
        }
    }
}

/// The kernel holds the ingress socket's lock while a verdict runs, so no other verdict writes this
/// slot, and the daemon writes only its own fields: plain loads and stores do.
#[inline(always)]
fn judge(ctx: &SkBuffContext, slot: &DirectionSlot, len: u32) -> Result<(), Pass> {
    let target = slot.egress_cookie.load();
    let egress = egress::read(target).ok_or(Pass::NoTarget)?;
    let flow = read_flow(slot, egress.write_seq);
    if slot.passing.load() == DirectionSlot::REPEATED || decide(&flow, &egress, len).is_err() {
        return Err(Pass::Gated);
    }
    linearise_if_cheaper(ctx, len);
    if TARGETS.redirect_skb(ctx, target, 0) != i64::from(SK_PASS) {
        return Err(Pass::NoTarget);
    }
    slot.redirected
        .store(flow.redirected.wrapping_add(u64::from(len)));
    slot.passing.store(0);
    Ok(())
}

#[inline(always)]
fn read_flow(slot: &DirectionSlot, write_seq: u32) -> Flow {
    if slot.latched.load() == 0 {
        slot.write_base.store(u64::from(write_seq));
        slot.latched.store(1);
    }
    Flow {
        redirected: slot.redirected.load(),
        passed: slot.passed.load(),
        forwarded: slot.forwarded.load(),
        write_base: slot.write_base.load() as u32,
        passing: slot.passing.load() != 0,
    }
}

/// Counts passed bytes and wakes user space when it owed nothing: it may be asleep then.
#[inline(always)]
fn count_pass(slot: &DirectionSlot, index: u32, len: u32) {
    let passed = slot.passed.load();
    let caught_up = passed == slot.forwarded.load();
    slot.passed.store(passed.wrapping_add(u64::from(len)));
    if slot.passing.load() == 0 {
        slot.passing.store(1);
        slot.flips.store(slot.flips.load().wrapping_add(1));
    }
    if caught_up {
        notify(slot, index);
    }
}

#[inline(always)]
fn notify(slot: &DirectionSlot, index: u32) {
    let notice = Notice::new(index, slot.generation.load() as u32);
    if NOTICES.output::<Notice>(notice, 0).is_err() {
        count_lost();
    }
}

#[inline(always)]
fn count_lost() {
    if let Some(lost) = LOST.get(0) {
        // An update lost between CPUs still changes the value, which is all the daemon looks for.
        lost.store(lost.load().wrapping_add(1));
    }
}

/// `__skb_send_sock` sends each fragment by a sendmsg of its own; many small ones cost more than
/// one copy. When the allocation fails the segment stays as it was.
#[inline(always)]
fn linearise_if_cheaper(ctx: &SkBuffContext, len: u32) {
    if len <= PULL_ABOVE_FRAGMENTS * 1024 {
        return;
    }
    let Some(fragments) = fragments(ctx) else {
        return;
    };
    if fragments > PULL_ABOVE_FRAGMENTS && len / fragments < SMALL_FRAGMENT {
        let _ = ctx.pull_data(len);
    }
}

/// `skb_shinfo(skb)->nr_frags`; `None` when the kernel refuses the read.
#[inline(always)]
fn fragments(ctx: &SkBuffContext) -> Option<u32> {
    let skb = ctx.as_ptr().cast::<u8>().cast_const();
    // SAFETY: bpf_probe_read_kernel tolerates any address.
    unsafe {
        let head = bpf_probe_read_kernel(skb.add(offsets::skb_head()).cast::<u64>()).ok()?;
        let end = bpf_probe_read_kernel(skb.add(offsets::skb_end()).cast::<u32>()).ok()?;
        let shared = (head + u64::from(end)) as *const u8;
        bpf_probe_read_kernel(shared.add(offsets::nr_frags()))
            .ok()
            .map(u32::from)
    }
}

/// The flow of a path that queues at once: nothing is ever owed.
#[inline(always)]
pub(crate) fn synchronous_flow(write_seq: u32) -> Flow {
    Flow {
        redirected: 0,
        passed: 0,
        forwarded: 0,
        write_base: write_seq,
        passing: false,
    }
}
