//! The ungated verdict behind a stream parser: compared with the same without one (`naive`), it shows
//! what a parser costs and that it holds nobody back.
#![no_std]
#![no_main]

use aya_ebpf::bindings::sk_action::SK_PASS;
use aya_ebpf::macros::{stream_parser, stream_verdict};
use aya_ebpf::programs::SkBuffContext;
use scistream_ebpf::ungated;

/// Takes every segment as a message of its own.
#[stream_parser]
pub fn take_all(ctx: SkBuffContext) -> u32 {
    ctx.len()
}

/// Redirects every segment with data, without looking at the egress socket.
#[stream_verdict]
pub fn redirect_to_peer(ctx: SkBuffContext) -> u32 {
    ungated::redirect(&ctx).unwrap_or(SK_PASS)
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
