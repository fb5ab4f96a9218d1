//! Memory that the kernel's eBPF programs and the daemon share: `BPF_F_MMAPABLE` array maps.

#![expect(unsafe_code, reason = "layer 0: the mapping is shared with the kernel")]

use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::OnceLock;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use scistream_common::{DirectionSlot, SharedWord};

use super::Error;

/// Bytes that are mapped at once: a whole number of pages and of values everywhere. The kernel counts
/// what is mapped as resident, touched or not, so the parts of a large map are mapped as they are used.
const PART_BYTES: usize = 64 << 10;

/// An array map's values, mapped for reading and writing part by part.
///
/// Elements are handed out as shared references: their types hold atomics, since the other writer
/// is the kernel.
#[derive(Debug)]
pub struct SharedArray<T> {
    map: OwnedFd,
    parts: Box<[OnceLock<Part<T>>]>,
    len: usize,
}

/// A part that is mapped.
#[derive(Debug)]
struct Part<T> {
    base: NonNull<T>,
    len: usize,
}

// SAFETY: the mapping is plain memory, valid from every thread until it is dropped.
unsafe impl<T: Sync> Send for Part<T> {}
// SAFETY: as above; only `&T` is handed out, and `T` is `Sync`.
unsafe impl<T: Sync> Sync for Part<T> {}

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
    const IN_PART: usize = PART_BYTES / size_of::<T>();

    /// The `len` values of the array map behind `map`; the first part of them is mapped.
    ///
    /// # Errors
    /// mmap(2) refused: the map lacks `BPF_F_MMAPABLE`, or is smaller.
    pub fn map(map: impl AsFd, len: usize) -> Result<Self, Error> {
        let map = map.as_fd().try_clone_to_owned();
        let parts = len.div_ceil(Self::IN_PART);
        let array = Self {
            map: map.map_err(|error| Error::new("fcntl(F_DUPFD_CLOEXEC)", error))?,
            parts: (0..parts).map(|_| OnceLock::new()).collect(),
            len,
        };
        array.reach(0)?;
        Ok(array)
    }

    /// Maps the part that holds the value at `index`, if it is not mapped yet.
    ///
    /// # Errors
    /// mmap(2) refused: the process has too many mappings, or not enough memory.
    pub fn reach(&self, index: usize) -> Result<(), Error> {
        let number = index / Self::IN_PART;
        let Some(part) = self.parts.get(number) else {
            return Ok(());
        };
        if part.get().is_none() {
            let first = number * Self::IN_PART;
            let len = Self::IN_PART.min(self.len - first);
            // Somebody else may have been faster; what was mapped twice is unmapped again.
            drop(part.set(Part::map(&self.map, first, len)?));
        }
        Ok(())
    }

    /// The value at `index`, if there is one and it was reached.
    pub fn get(&self, index: usize) -> Option<&T> {
        let part = self.parts.get(index / Self::IN_PART)?.get()?;
        let within = index % Self::IN_PART;
        if within >= part.len {
            return None;
        }
        // SAFETY: within the mapping, which holds `len` values.
        let value = unsafe { part.base.add(within) };
        // SAFETY: page-aligned start, a multiple of the type's size, and a type that accepts every
        // bit pattern; the kernel's stores are single words, which the type reads as such.
        Some(unsafe { value.as_ref() })
    }
}

impl<T> Part<T> {
    /// Maps `len` values from the one at `first` on, which begins a page.
    fn map(map: &OwnedFd, first: usize, len: usize) -> Result<Self, Error> {
        let flags = ProtFlags::READ | ProtFlags::WRITE;
        let offset = (first * size_of::<T>()) as u64;
        // SAFETY: a fresh mapping at an address the kernel chooses; nothing else points into it.
        let base = unsafe {
            mmap(
                std::ptr::null_mut(),
                len * size_of::<T>(),
                flags,
                MapFlags::SHARED,
                map,
                offset,
            )
        }
        .map_err(|errno| Error::new("mmap(map)", errno))?;
        let base = NonNull::new(base.cast())
            .ok_or_else(|| Error::new("mmap(map)", rustix::io::Errno::NOMEM))?;
        Ok(Self { base, len })
    }
}

impl<T> Drop for Part<T> {
    fn drop(&mut self) {
        // SAFETY: exactly what `map` mapped; the borrows handed out have ended.
        let unmapped = unsafe { munmap(self.base.as_ptr().cast(), self.len * size_of::<T>()) };
        debug_assert!(unmapped.is_ok(), "munmap of a mapping we made");
    }
}
