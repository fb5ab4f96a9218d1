//! Cuts off the head of a segment that repeats bytes which were judged before.
//!
//! `tcp_data_queue` queues a segment whole when only its head is old: after a closed window, for
//! instance, a sender repeats in a full segment what it had sent cut at the window's edge. A
//! receive call skips that head by `copied_seq`; `tcp_read_skb`, which feeds the verdict, does not,
//! and neither does it skip what was read of a half-read segment.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::{bpf_probe_read_kernel, bpf_skb_adjust_room};
use aya_ebpf::programs::SkBuffContext;
use scistream_common::DirectionSlot;

use crate::{egress, offsets};

/// What `bpf_skb_adjust_room` takes off at most in one call.
const CUT_BYTES: u32 = 0xfff;
/// Calls that take off the largest ordinary segment.
const CUTS: u32 = 17;

/// The segment could not be cut: passing it on would repeat bytes.
pub struct Uncut;

/// Cuts what came before; answers how many bytes are left.
///
/// # Errors
/// [`Uncut`] when the kernel refused.
#[inline(always)]
pub fn cut_repeated(ctx: &SkBuffContext, slot: &DirectionSlot, len: u32) -> Result<u32, Uncut> {
    let seq = first_sequence(ctx).ok_or(Uncut)?;
    let known = slot.next_seq.load();
    let next = if known & DirectionSlot::SEQUENCE_KNOWN != 0 {
        known as u32
    } else {
        // SAFETY: a field of the valid context.
        let socket = unsafe { (*ctx.skb.skb).__bindgen_anon_2.sk };
        egress::copied_seq(socket).ok_or(Uncut)?
    };
    let end = seq.wrapping_add(len);
    let repeated = next.wrapping_sub(seq);
    if repeated as i32 <= 0 {
        slot.next_seq
            .store(DirectionSlot::SEQUENCE_KNOWN | u64::from(end));
        return Ok(len);
    }
    if repeated <= len {
        slot.next_seq
            .store(DirectionSlot::SEQUENCE_KNOWN | u64::from(end));
    }
    cut(ctx, if repeated < len { repeated } else { len })?;
    Ok(len.saturating_sub(repeated))
}

/// `TCP_SKB_CB(skb)->seq`.
#[inline(always)]
fn first_sequence(ctx: &SkBuffContext) -> Option<u32> {
    let skb = ctx.as_ptr().cast::<u8>().cast_const();
    // SAFETY: bpf_probe_read_kernel tolerates any address.
    unsafe { bpf_probe_read_kernel(skb.add(offsets::skb_cb()).cast()) }.ok()
}

#[inline(always)]
fn cut(ctx: &SkBuffContext, bytes: u32) -> Result<(), Uncut> {
    let mut left = bytes;
    for _ in 0..CUTS {
        if left == 0 {
            return Ok(());
        }
        let now = if left < CUT_BYTES { left } else { CUT_BYTES };
        // SAFETY: the context is valid; a negative difference takes bytes off the head.
        if unsafe { bpf_skb_adjust_room(ctx.skb.skb, -(now as i32), 0, 0) } != 0 {
            return Err(Uncut);
        }
        left -= now;
    }
    if left == 0 { Ok(()) } else { Err(Uncut) }
}
