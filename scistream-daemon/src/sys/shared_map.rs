//! Memory that the kernel's eBPF programs and the daemon share: `BPF_F_MMAPABLE` array maps.

#![expect(unsafe_code, reason = "layer 0: the mapping is shared with the kernel")]

use std::os::fd::AsFd;
use std::ptr::NonNull;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use scistream_common::{DirectionSlot, SharedWord};

use super::Error;

/// An array map's values, mapped for reading and writing.
///
/// Elements are handed out as shared references: their types hold atomics, since the other writer
/// is the kernel.
#[derive(Debug)]
pub struct SharedArray<T> {
    base: NonNull<T>,
    len: usize,
}

// SAFETY: the mapping is plain memory, valid from every thread until it is dropped.
unsafe impl<T: Sync> Send for SharedArray<T> {}
// SAFETY: as above; only `&T` is handed out, and `T` is `Sync`.
unsafe impl<T: Sync> Sync for SharedArray<T> {}

/// Types that any bit pattern of shared memory may be read as.
///
/// # Safety
/// Every bit pattern is valid, all fields are shared words or unused, and the size is a multiple of
/// 8 (the kernel rounds values up to that).
pub unsafe trait Shared: Sync {}

// SAFETY: one shared word.
unsafe impl Shared for SharedWord {}
// SAFETY: shared words and unused integers, 128 bytes.
unsafe impl Shared for DirectionSlot {}

impl<T: Shared> SharedArray<T> {
    /// Maps `len` values of the array map behind `map`.
    ///
    /// # Errors
    /// mmap(2) refused: the map lacks `BPF_F_MMAPABLE`, or is smaller.
    pub fn map(map: impl AsFd, len: usize) -> Result<Self, Error> {
        let flags = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a fresh mapping at an address the kernel chooses; nothing else points into it.
        let base = unsafe {
            mmap(
                std::ptr::null_mut(),
                len * size_of::<T>(),
                flags,
                MapFlags::SHARED,
                map,
                0,
            )
        }
        .map_err(|errno| Error::new("mmap(map)", errno))?;
        let base = NonNull::new(base.cast())
            .ok_or_else(|| Error::new("mmap(map)", rustix::io::Errno::NOMEM))?;
        Ok(Self { base, len })
    }

    /// The value at `index`, if there is one.
    pub fn get(&self, index: usize) -> Option<&T> {
        if index >= self.len {
            return None;
        }
        // SAFETY: within the mapping, which holds `len` values.
        let value = unsafe { self.base.add(index) };
        // SAFETY: page-aligned start, a multiple of the type's size, and a type that accepts every
        // bit pattern; the kernel's stores are single words, which the type reads as such.
        Some(unsafe { value.as_ref() })
    }
}

impl<T> Drop for SharedArray<T> {
    fn drop(&mut self) {
        // SAFETY: exactly what `map` mapped; the borrows handed out have ended.
        let unmapped = unsafe { munmap(self.base.as_ptr().cast(), self.len * size_of::<T>()) };
        debug_assert!(unmapped.is_ok(), "munmap of a mapping we made");
    }
}
