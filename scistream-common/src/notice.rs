//! What the verdict program tells the daemon.

/// "This direction has passed a segment to you, and you owed it nothing before."
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Notice {
    slot: u32,
    generation: u32,
}

const _: () = assert!(size_of::<Notice>() == 8);

impl Notice {
    /// A notice of `slot`, which carried `generation` when the verdict ran.
    pub const fn new(slot: u32, generation: u32) -> Self {
        Self { slot, generation }
    }

    /// Parses what the ring holds; `None` when the length is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (slot, rest) = bytes.split_first_chunk::<4>()?;
        let generation: [u8; 4] = rest.try_into().ok()?;
        Some(Self::new(
            u32::from_ne_bytes(*slot),
            u32::from_ne_bytes(generation),
        ))
    }

    /// Index of the direction's slot.
    pub const fn slot(self) -> u32 {
        self.slot
    }

    /// Use of the slot that the notice belongs to; an older one is stale.
    pub const fn generation(self) -> u32 {
        self.generation
    }
}
