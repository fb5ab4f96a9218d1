//! Finds kernel struct fields in the running kernel's BTF (Documentation/bpf/btf.rst).
//!
//! Only what the eBPF programs need: the byte offset of a named member of a named struct. Members of
//! anonymous structs and unions count as the outer struct's own, as in C.

use std::collections::HashMap;

/// Where the kernel shows its own types.
pub const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

const MAGIC: u16 = 0xeb9f;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;

/// Why an offset could not be had.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    /// The file is missing: a kernel without `CONFIG_DEBUG_INFO_BTF`.
    #[error("this kernel shows no type information at {KERNEL_BTF} (CONFIG_DEBUG_INFO_BTF)")]
    Missing(#[source] std::io::Error),
    /// The bytes are not BTF.
    #[error("{KERNEL_BTF} is not valid BTF")]
    Malformed,
    /// A struct or member is not there.
    #[error("this kernel's {name} has no member {member}")]
    NoMember {
        /// The struct.
        name: &'static str,
        /// The member.
        member: &'static str,
    },
}

/// A parsed BTF blob.
pub struct Btf {
    bytes: Vec<u8>,
    /// Byte offset of each type record; id 0 is void and has none.
    records: Vec<usize>,
    strings: usize,
}

impl Btf {
    /// Reads and indexes the running kernel's BTF.
    ///
    /// # Errors
    /// [`BtfError::Missing`] and [`BtfError::Malformed`].
    pub fn of_kernel() -> Result<Self, BtfError> {
        Self::parse(std::fs::read(KERNEL_BTF).map_err(BtfError::Missing)?)
    }

    /// Indexes a BTF blob of this machine's byte order.
    ///
    /// # Errors
    /// [`BtfError::Malformed`].
    pub fn parse(bytes: Vec<u8>) -> Result<Self, BtfError> {
        Self::index(bytes).ok_or(BtfError::Malformed)
    }

    fn index(bytes: Vec<u8>) -> Option<Self> {
        if u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?) != MAGIC {
            return None;
        }
        let header = word(&bytes, 4)? as usize;
        let types = header + word(&bytes, 8)? as usize;
        let types_end = types + word(&bytes, 12)? as usize;
        let strings = header + word(&bytes, 16)? as usize;
        bytes.get(strings..strings + word(&bytes, 20)? as usize)?;
        let mut records = vec![0];
        let mut at = types;
        while at < types_end {
            records.push(at);
            at += record_len(word(&bytes, at + 4)?)?;
        }
        Some(Self {
            bytes,
            records,
            strings,
        })
    }

    /// Byte offsets of `(struct, member)` pairs, in their order.
    ///
    /// # Errors
    /// [`BtfError::NoMember`] names the first that is missing.
    pub fn offsets<const N: usize>(
        &self,
        wanted: [(&'static str, &'static str); N],
    ) -> Result<[u32; N], BtfError> {
        let structs = self.structs_named(&wanted);
        let mut found = [0; N];
        for (offset, (name, member)) in found.iter_mut().zip(wanted) {
            *offset = structs
                .get(name)
                .and_then(|at| self.member(*at, member))
                .ok_or(BtfError::NoMember { name, member })?;
        }
        Ok(found)
    }

    fn structs_named(&self, wanted: &[(&'static str, &'static str)]) -> HashMap<&str, usize> {
        let mut found = HashMap::new();
        for &at in self.records.iter().skip(1) {
            let Some((KIND_STRUCT, count)) = self.shape(at) else {
                continue;
            };
            if count > 0
                && let Some(name) = self.string(at)
                && wanted.iter().any(|(struct_name, _)| *struct_name == name)
            {
                found.entry(name).or_insert(at);
            }
        }
        found
    }

    /// Byte offset of `member` in the record at `at`, looking into anonymous members.
    fn member(&self, at: usize, member: &str) -> Option<u32> {
        let (_, count) = self.shape(at)?;
        let bit_fields = word(&self.bytes, at + 4)? >> 31 == 1;
        for index in 0..count {
            let entry = at + 12 + index * 12;
            let bits = word(&self.bytes, entry + 8)?;
            let bits = if bit_fields { bits & 0x00ff_ffff } else { bits };
            let name = self.string(entry)?;
            if name == member {
                return Some(bits / 8);
            }
            if name.is_empty()
                && let Some(inner) = self.anonymous(word(&self.bytes, entry + 4)?)
                && let Some(offset) = self.member(inner, member)
            {
                return Some(bits / 8 + offset);
            }
        }
        None
    }

    fn anonymous(&self, id: u32) -> Option<usize> {
        let at = *self.records.get(id as usize)?;
        matches!(self.shape(at)?.0, KIND_STRUCT | KIND_UNION).then_some(at)
    }

    /// Kind and member count of the record at `at`.
    fn shape(&self, at: usize) -> Option<(u32, usize)> {
        let info = word(&self.bytes, at + 4)?;
        Some((info >> 24 & 0x1f, (info & 0xffff) as usize))
    }

    /// The string whose offset is the word at `at`.
    fn string(&self, at: usize) -> Option<&str> {
        let start = self.strings + word(&self.bytes, at)? as usize;
        let rest = self.bytes.get(start..)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        std::str::from_utf8(&rest[..end]).ok()
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Length of a type record by its `info` word; `None` for a kind this parser does not know, which
/// it could not step over.
fn record_len(info: u32) -> Option<usize> {
    let count = (info & 0xffff) as usize;
    let extra = match info >> 24 & 0x1f {
        // pointer, forward, typedef, volatile, const, restrict, function, float, type tag
        2 | 7..=12 | 16 | 18 => 0,
        // integer, variable, declaration tag
        1 | 14 | 17 => 4,
        // array
        3 => 12,
        // enumeration, function prototype
        6 | 13 => count * 8,
        // struct, union, data section, 64-bit enumeration
        4 | 5 | 15 | 19 => count * 12,
        _ => return None,
    };
    Some(12 + extra)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `struct outer { u32 a; union { u32 b; u32 c; }; u32 d; }` with integers of type id 1.
    fn sample() -> Vec<u8> {
        let strings = b"\0int\0outer\0a\0b\0c\0d\0";
        let (a, b, c, d) = (11, 13, 15, 17);
        let types: Vec<u32> = [
            vec![1, 1 << 24, 4, 32],
            vec![0, 5 << 24 | 2, 4, b, 1, 0, c, 1, 0],
            vec![5, 4 << 24 | 3, 12, a, 1, 0, 0, 2, 32, d, 1, 64],
        ]
        .concat();
        let types: Vec<u8> = types.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut bytes = MAGIC.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        for field in [24, 0, types.len(), types.len(), strings.len()] {
            bytes.extend((field as u32).to_ne_bytes());
        }
        bytes.extend(types);
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn members_of_anonymous_unions_count_as_the_structs_own() {
        let btf = Btf::parse(sample()).unwrap();
        let offsets = btf
            .offsets([("outer", "a"), ("outer", "c"), ("outer", "d")])
            .unwrap();
        assert_eq!(offsets, [0, 4, 8]);
    }

    #[test]
    fn a_missing_member_is_named() {
        let btf = Btf::parse(sample()).unwrap();
        let error = btf.offsets([("outer", "e")]).unwrap_err();
        assert_eq!(error.to_string(), "this kernel's outer has no member e");
    }

    #[test]
    fn truncated_blobs_are_refused() {
        let sample = sample();
        for len in 0..sample.len() {
            assert!(Btf::parse(sample[..len].to_vec()).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn the_running_kernel_has_what_the_programs_read() {
        if let Ok(btf) = Btf::of_kernel() {
            btf.offsets([("tcp_sock", "write_seq"), ("sock", "sk_sndbuf")])
                .unwrap();
        }
    }
}
