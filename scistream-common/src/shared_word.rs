//! One machine word that the kernel's programs and the daemon both see.
#![expect(
    unsafe_code,
    reason = "the one place where memory shared with the kernel is touched"
)]

use core::cell::UnsafeCell;

/// A word with one writer and any number of readers, on either side of the kernel boundary.
#[repr(transparent)]
#[derive(Debug, Default)]
pub struct SharedWord(UnsafeCell<u64>);

// SAFETY: every access is a single aligned 64-bit load or store, below.
unsafe impl Sync for SharedWord {}

#[cfg(not(target_arch = "bpf"))]
impl SharedWord {
    /// Reads; what its writer stored before this value is visible too.
    pub fn load(&self) -> u64 {
        self.atomic().load(core::sync::atomic::Ordering::Acquire)
    }

    /// Writes; what was stored before is visible to who reads this value.
    pub fn store(&self, value: u64) {
        self.atomic()
            .store(value, core::sync::atomic::Ordering::Release);
    }

    fn atomic(&self) -> &core::sync::atomic::AtomicU64 {
        // SAFETY: aligned, valid for as long as `self`, and only accessed atomically.
        unsafe { core::sync::atomic::AtomicU64::from_ptr(self.0.get()) }
    }
}

/// The BPF target of the kernels we support has no atomic loads and stores, and its JIT makes an
/// aligned volatile access one instruction. The socket's lock, held by the verdict and taken by the
/// daemon's system calls, orders what needs an order.
#[cfg(target_arch = "bpf")]
impl SharedWord {
    /// Reads.
    #[inline(always)]
    pub fn load(&self) -> u64 {
        // SAFETY: aligned and valid for as long as `self`.
        unsafe { self.0.get().read_volatile() }
    }

    /// Writes.
    #[inline(always)]
    pub fn store(&self, value: u64) {
        // SAFETY: aligned and valid for as long as `self`.
        unsafe { self.0.get().write_volatile(value) }
    }
}
