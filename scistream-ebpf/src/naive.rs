//! The verdict as everybody writes it first: redirect everything, whatever the room. The tests
//! load it to show that their checks can fail.
#![no_std]
#![no_main]

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::sk_action::SK_PASS;
use aya_ebpf::helpers::bpf_get_socket_cookie;
use aya_ebpf::macros::stream_verdict;
use aya_ebpf::programs::SkBuffContext;
use scistream_ebpf::maps::{FLOWS, SLOTS, TARGETS};

/// Redirects every segment with data, without looking at the egress socket.
#[stream_verdict]
pub fn redirect_to_peer(ctx: SkBuffContext) -> u32 {
    redirect(&ctx).unwrap_or(SK_PASS)
}

#[inline(always)]
fn redirect(ctx: &SkBuffContext) -> Option<u32> {
    let len = ctx.len();
    // SAFETY: the context is a valid sk_buff whose socket the kernel has set.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    // SAFETY: plain integers.
    let index = *unsafe { FLOWS.get(cookie) }?;
    let slot = SLOTS.get(index)?;
    let target = slot.egress_cookie.load();
    if len != 0 && TARGETS.redirect_skb(ctx, target, 0) == i64::from(SK_PASS) {
        let redirected = slot.redirected.load();
        slot.redirected
            .store(redirected.wrapping_add(u64::from(len)));
    }
    Some(SK_PASS)
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
