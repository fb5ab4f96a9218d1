//! The gated verdict behind a stream parser, for the tests that show what a parser costs: the
//! kernel acknowledges what the parser takes, so passing holds nobody back.
#![no_std]
#![no_main]

use aya_ebpf::bindings::sk_action::{SK_DROP, SK_PASS};
use aya_ebpf::macros::{stream_parser, stream_verdict};
use aya_ebpf::programs::SkBuffContext;
use scistream_ebpf::verdict::{self, Pass};

/// Takes every segment as a message of its own.
#[stream_parser]
pub fn take_all(ctx: SkBuffContext) -> u32 {
    ctx.len()
}

/// As the gateway's own.
#[stream_verdict]
pub fn redirect_to_peer(ctx: SkBuffContext) -> u32 {
    match verdict::redirect(&ctx) {
        Ok(()) | Err(Pass::Gated | Pass::NoTarget | Pass::Repeated | Pass::Unknown) => SK_PASS,
        Err(Pass::Empty) => SK_DROP,
    }
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
