//! Names of sessions, which nobody can guess.

use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};

use super::failure::{Exit, Failure};

/// The uid that upstream's demonstrations use, and scripts with them (`--mock True`).
pub const MOCK: &str = "4f8583bc-a4d3-11ee-9fd6-034d1fcbd7c3";

/// A fresh uid: 122 bits from the kernel's generator, in the form of a version 4 UUID.
///
/// # Errors
/// When there is no randomness to be had.
pub fn fresh() -> Result<String, Failure> {
    Ok(uuid(random()?, 4))
}

/// The uid that belongs to these words, the same each time: a UUID of version 8, made of their
/// SHA-256.
pub fn of(words: &[&str]) -> String {
    let mut context = Context::new(&SHA256);
    for word in words {
        // With its length before each word, no two lists say the same.
        context.update(&(word.len() as u64).to_be_bytes());
        context.update(word.as_bytes());
    }
    let digest = context.finish();
    let mut bytes = [0; 16];
    for (byte, of_digest) in bytes.iter_mut().zip(digest.as_ref()) {
        *byte = *of_digest;
    }
    uuid(bytes, 8)
}

/// Bytes in the form of a UUID.
fn uuid(mut bytes: [u8; 16], version: u8) -> String {
    bytes[6] = (bytes[6] & 0x0f) | (version << 4);
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let ends = [8, 12, 16, 20, 32];
    let mut from = 0;
    let groups = ends.map(|to| {
        let group = &hex[from..to];
        from = to;
        group
    });
    groups.join("-")
}

/// Bytes from the kernel's generator.
///
/// # Errors
/// When there are none to be had.
pub fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_unspecified| {
            Failure::new(
                Exit::Failed,
                "the kernel gives no random bytes; see getrandom(2)",
            )
        })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_uid_has_the_form_of_a_uuid_and_no_two_are_equal() {
        let (one, other) = (fresh().unwrap(), fresh().unwrap());
        assert_ne!(one, other);
        let lengths: Vec<_> = one.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{one}");
        assert_eq!(&one[14..15], "4", "{one}");
    }

    #[test]
    fn the_uid_of_words_is_theirs_alone() {
        let uid = of(&["a", "bc"]);
        assert_eq!(uid, of(&["a", "bc"]));
        assert_eq!((uid.len(), &uid[14..15]), (36, "8"), "{uid}");
        for others in [&["ab", "c"][..], &["a", "b", "c"], &["abc"], &[]] {
            assert_ne!(uid, of(others), "{others:?}");
        }
    }
}
