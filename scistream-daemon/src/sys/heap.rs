//! The heap's memory, given back to the kernel.

#![cfg_attr(
    target_env = "gnu",
    expect(unsafe_code, reason = "malloc_trim has no safe wrapper")
)]

/// Gives back what was freed. Starting up reads the kernel's type information, tens of megabytes that
/// the allocator would keep for ever.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointers, and locks what it touches.
    unsafe {
        libc::malloc_trim(0);
    }
}
