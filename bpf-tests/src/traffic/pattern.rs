//! A byte stream that is a function of a seed and an offset: any slice of it can be made or
//! checked anywhere, at several GB/s, and a byte that is in the wrong place says where it belongs.

use std::fmt;

/// Bytes per generated word.
const WORD: u64 = 8;
/// How far from its place a misplaced byte is searched for.
const SEARCH_REACH: u64 = 8 << 20;
/// Bytes generated at a time while searching.
const SEARCH_BLOCK: usize = 64 << 10;
/// Bytes that must agree for a misplaced slice to count as found: one word, a one in 2^64 chance.
const NEEDLE: usize = 8;

/// The stream of one seed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pattern {
    seed: u64,
}

/// The first byte that is not what the stream has at its offset.
#[derive(Clone, Copy, Debug)]
pub struct Mismatch {
    /// Offset in the stream.
    pub offset: u64,
    /// What should be there.
    pub expected: u8,
    /// What came.
    pub found: u8,
    /// The offset at which the stream really has the bytes found, if that is near.
    pub belongs_at: Option<u64>,
}

impl Pattern {
    /// The stream of this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The seed, for messages.
    pub fn seed(self) -> u64 {
        self.seed
    }

    /// Writes the bytes at `offset..offset + out.len()`.
    pub fn fill(self, offset: u64, out: &mut [u8]) {
        let (head, body) = out.split_at_mut(head_len(offset, out.len()));
        self.fill_partial(offset, head);
        let mut index = (offset + head.len() as u64) / WORD;
        let mut words = body.chunks_exact_mut(WORD as usize);
        for word in &mut words {
            word.copy_from_slice(&self.word(index).to_le_bytes());
            index += 1;
        }
        self.fill_partial(index * WORD, words.into_remainder());
    }

    /// Whether `bytes` are what the stream has at `offset`.
    pub fn check(self, offset: u64, bytes: &[u8]) -> Result<(), Mismatch> {
        let (head, body) = bytes.split_at(head_len(offset, bytes.len()));
        self.check_partial(offset, head, bytes)?;
        let mut at = offset + head.len() as u64;
        for (word, rest) in body
            .chunks_exact(WORD as usize)
            .zip((0..).map(|i| i * WORD as usize))
        {
            if word != self.word(at / WORD).to_le_bytes() {
                return self.check_partial(at, word, &body[rest..]);
            }
            at += WORD;
        }
        let tail = body.chunks_exact(WORD as usize).remainder();
        self.check_partial(at, tail, tail)
    }

    /// The word at `index`: splitmix64's output function of a counter.
    fn word(self, index: u64) -> u64 {
        mix(self
            .seed
            .wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    fn byte(self, offset: u64) -> u8 {
        self.word(offset / WORD).to_le_bytes()[(offset % WORD) as usize]
    }

    fn fill_partial(self, offset: u64, out: &mut [u8]) {
        for (byte, at) in out.iter_mut().zip(offset..) {
            *byte = self.byte(at);
        }
    }

    /// Checks byte by byte; `context` are the bytes from there on, to find where they belong.
    fn check_partial(self, offset: u64, bytes: &[u8], context: &[u8]) -> Result<(), Mismatch> {
        for ((found, at), skip) in bytes.iter().zip(offset..).zip(0..) {
            let expected = self.byte(at);
            if *found != expected {
                return Err(Mismatch {
                    offset: at,
                    expected,
                    found: *found,
                    belongs_at: self.find(at, &context[skip..]),
                });
            }
        }
        Ok(())
    }

    /// Where within reach of `around` the stream has what `bytes` begin with.
    fn find(self, around: u64, bytes: &[u8]) -> Option<u64> {
        let needle = bytes.get(..NEEDLE)?;
        let mut block = vec![0; SEARCH_BLOCK + NEEDLE];
        let from = around.saturating_sub(SEARCH_REACH);
        (from..around + SEARCH_REACH)
            .step_by(SEARCH_BLOCK)
            .find_map(|start| {
                self.fill(start, &mut block);
                let at = block.windows(NEEDLE).position(|window| window == needle)?;
                Some(start + at as u64)
            })
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            offset,
            expected,
            found,
            belongs_at,
        } = self;
        write!(
            f,
            "byte {offset} is {found:#04x} and should be {expected:#04x}: "
        )?;
        match belongs_at {
            Some(at) if at > offset => write!(
                f,
                "what came belongs at {at}, {} bytes were lost or are late",
                at - offset
            ),
            Some(at) => write!(
                f,
                "what came belongs at {at} and came before, {} bytes were duplicated",
                offset - at
            ),
            None => write!(
                f,
                "what came is nowhere near in the stream, so it is corrupted or another's"
            ),
        }
    }
}

impl std::error::Error for Mismatch {}

/// A hash over a stream that does not depend on how the stream was cut into slices.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RunningHash {
    state: u64,
    bytes: u64,
    pending: u64,
}

impl RunningHash {
    /// Takes the next bytes of the stream.
    pub fn update(&mut self, bytes: &[u8]) {
        let (head, body) = bytes.split_at(head_len(self.bytes, bytes.len()));
        self.update_partial(head);
        let words = body.chunks_exact(WORD as usize);
        let tail = words.remainder();
        for word in words {
            let mut whole = [0; WORD as usize];
            whole.copy_from_slice(word);
            self.take(u64::from_le_bytes(whole));
        }
        self.bytes += (body.len() - tail.len()) as u64;
        self.update_partial(tail);
    }

    /// The hash of everything taken so far.
    pub fn digest(&self) -> u64 {
        mix(self.state ^ mix(self.pending ^ self.bytes))
    }

    /// How many bytes were taken.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn update_partial(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.pending |= u64::from(*byte) << (8 * (self.bytes % WORD));
            self.bytes += 1;
            if self.bytes.is_multiple_of(WORD) {
                let word = std::mem::take(&mut self.pending);
                self.take(word);
            }
        }
    }

    fn take(&mut self, word: u64) {
        self.state = (self.state ^ word)
            .wrapping_mul(0x9fb2_1c65_1e98_df25)
            .rotate_left(29);
    }
}

/// splitmix64's finaliser: every bit of the result depends on every bit of `z`.
pub(super) fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Bytes before the first word boundary at or after `offset`, at most `len`.
fn head_len(offset: u64, len: usize) -> usize {
    let to_boundary = (WORD - offset % WORD) % WORD;
    len.min(to_boundary as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_the_same_however_it_is_cut() {
        let pattern = Pattern::new(7);
        let mut whole = [0; 100];
        pattern.fill(0, &mut whole);
        for from in 0..40 {
            for to in from..60 {
                let mut part = vec![0; to - from];
                pattern.fill(from as u64, &mut part);
                assert_eq!(part, whole[from..to]);
                pattern.check(from as u64, &part).expect("its own bytes");
            }
        }
    }

    #[test]
    fn a_changed_byte_is_found_where_it_is() {
        let pattern = Pattern::new(7);
        for changed in 0..50 {
            let mut bytes = [0; 50];
            pattern.fill(3, &mut bytes);
            bytes[changed] ^= 1;
            let mismatch = pattern.check(3, &bytes).expect_err("a changed byte");
            assert_eq!(mismatch.offset, 3 + changed as u64);
        }
    }

    #[test]
    fn lost_and_duplicated_bytes_are_told_apart() {
        let pattern = Pattern::new(9);
        let mut bytes = vec![0; 5000];
        pattern.fill(0, &mut bytes);
        let lost: Vec<u8> = [&bytes[..1000], &bytes[1300..]].concat();
        let mismatch = pattern.check(0, &lost).expect_err("300 bytes are gone");
        assert_eq!(
            (mismatch.offset, mismatch.belongs_at),
            (1000, Some(1300)),
            "{mismatch}"
        );
        let doubled: Vec<u8> = [&bytes[..1000], &bytes[997..]].concat();
        let mismatch = pattern.check(0, &doubled).expect_err("3 bytes came twice");
        assert_eq!(
            (mismatch.offset, mismatch.belongs_at),
            (1000, Some(997)),
            "{mismatch}"
        );
    }

    #[test]
    fn the_hash_does_not_depend_on_the_cuts() {
        let mut bytes = [0; 333];
        Pattern::new(1).fill(0, &mut bytes);
        let mut whole = RunningHash::default();
        whole.update(&bytes);
        for step in [1, 3, 8, 13, 64] {
            let mut cut = RunningHash::default();
            bytes.chunks(step).for_each(|part| cut.update(part));
            assert_eq!(cut, whole);
        }
        bytes[200] ^= 4;
        let mut other = RunningHash::default();
        other.update(&bytes);
        assert_ne!(other.digest(), whole.digest());
    }
}
