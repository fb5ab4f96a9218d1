//! The programs: one match each, from typed reason to verdict. Bytes are passed, never
//! dropped: every arm that has any ends in `SK_PASS`.
#![no_std]
#![no_main]

use aya_ebpf::bindings::sk_action::{SK_DROP, SK_PASS};
use aya_ebpf::macros::{classifier, sk_msg, sock_ops, stream_verdict};
use aya_ebpf::programs::{SkBuffContext, SkMsgContext, SockOpsContext, TcContext};
use aya_log_ebpf::debug;
use scistream_ebpf::verdict::Pass;
use scistream_ebpf::{local_apps, verdict};

/// Redirects received segments to the socket they are paired with.
#[stream_verdict]
pub fn redirect_to_peer(ctx: SkBuffContext) -> u32 {
    match verdict::redirect(&ctx) {
        Ok(()) | Err(Pass::Gated | Pass::Repeated) => SK_PASS,
        // A FIN without payload: its effect on the socket is done, and there is no byte to lose.
        // Passed, it would queue behind the socket's own egress backlog, and `sk_psock_backlog`
        // takes the zero it moves for a broken pipe: EPIPE on a healthy socket.
        Err(Pass::Empty) => SK_DROP,
        Err(Pass::Unknown) => {
            debug!(&ctx, "passed {} bytes: no slot", ctx.len());
            SK_PASS
        }
        Err(Pass::NoTarget) => {
            debug!(&ctx, "passed {} bytes: egress socket is gone", ctx.len());
            SK_PASS
        }
    }
}

/// Sends a local application's message straight to the egress socket.
#[sk_msg]
pub fn redirect_message(ctx: SkMsgContext) -> u32 {
    match local_apps::redirect(&ctx) {
        Ok(())
        | Err(Pass::Empty | Pass::Gated | Pass::NoTarget | Pass::Repeated | Pass::Unknown) => {
            SK_PASS
        }
    }
}

/// Remembers the sockets of applications on the gateway host.
#[sock_ops]
pub fn track_local_apps(ctx: SockOpsContext) -> u32 {
    match local_apps::track(&ctx) {
        Some(()) | None => 1,
    }
}

/// Answers the daemon, which runs it by `BPF_PROG_TEST_RUN`; it is attached nowhere.
#[classifier]
pub fn resolve_egress(ctx: TcContext) -> i32 {
    match local_apps::resolve(&ctx) {
        Some(()) => 1,
        None => 0,
    }
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
