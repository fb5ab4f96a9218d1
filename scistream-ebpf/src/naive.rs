//! The ungated verdict alone. The tests load it to show that their checks can fail.
#![no_std]
#![no_main]

use aya_ebpf::bindings::sk_action::SK_PASS;
use aya_ebpf::macros::stream_verdict;
use aya_ebpf::programs::SkBuffContext;
use scistream_ebpf::ungated;

/// Redirects every segment with data, without looking at the egress socket.
#[stream_verdict]
pub fn redirect_to_peer(ctx: SkBuffContext) -> u32 {
    ungated::redirect(&ctx).unwrap_or(SK_PASS)
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
