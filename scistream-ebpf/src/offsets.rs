//! Byte offsets of kernel struct fields.
//!
//! Rust emits no CO-RE relocations, so the daemon finds the offsets in the running kernel's BTF and
//! writes them here before loading. They lie in read-only data: the verifier folds each volatile
//! read into a constant, so a load through a BTF pointer is checked against the kernel's own types.

macro_rules! offset {
    ($(#[$doc:meta])* $name:ident, $read:ident) => {
        $(#[$doc])*
        #[unsafe(no_mangle)]
        pub static $name: u32 = 0;

        #[inline(always)]
        pub(crate) fn $read() -> usize {
            // SAFETY: a static of ours, aligned and initialised; volatile keeps the compiler from
            // folding the placeholder zero.
            unsafe { core::ptr::read_volatile(&raw const $name) as usize }
        }
    };
}

offset!(
    /// `tcp_sock.write_seq`.
    WRITE_SEQ_OFFSET, write_seq);
offset!(
    /// `sock_common.skc_state`.
    STATE_OFFSET, state);
offset!(
    /// `sock.sk_sndbuf`.
    SNDBUF_OFFSET, sndbuf);
offset!(
    /// `sock.sk_wmem_queued`.
    WMEM_QUEUED_OFFSET, wmem_queued);
offset!(
    /// `sk_buff.head`.
    SKB_HEAD_OFFSET, skb_head);
offset!(
    /// `sk_buff.end`.
    SKB_END_OFFSET, skb_end);
offset!(
    /// `skb_shared_info.nr_frags`.
    NR_FRAGS_OFFSET, nr_frags);

offset!(
    /// `sock_common.skc_cookie`.
    COOKIE_OFFSET,
    cookie
);

offset!(
    /// `tcp_sock.copied_seq`.
    COPIED_SEQ_OFFSET,
    copied_seq
);
offset!(
    /// `sk_buff.cb`.
    SKB_CB_OFFSET,
    skb_cb
);
