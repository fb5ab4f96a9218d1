//! The paths that a file's `use` declarations and qualified paths name.

use super::source::is_name;

/// A path such as `crate::dataplane::ledger`, and where it stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Path {
    /// Its segments.
    pub(super) segments: Vec<String>,
    /// The byte offset of its first segment.
    pub(super) offset: usize,
}

/// Every path in `code` that has more than one segment, with `use a::{b, c}` written out.
pub(super) fn paths(code: &str) -> Vec<Path> {
    let mut found = Vec::new();
    let mut offset = 0;
    while let Some(length) = code[offset..].find(is_name) {
        offset += length;
        let start = offset;
        offset += read_path(&code[offset..], start, &[], &mut found);
    }
    found
}

/// Reads one path at the start of `code`, with its groups; returns how many bytes it took.
fn read_path(code: &str, start: usize, prefix: &[String], found: &mut Vec<Path>) -> usize {
    let mut segments = prefix.to_vec();
    let mut taken = 0;
    loop {
        let name: String = code[taken..].chars().take_while(|&c| is_name(c)).collect();
        if name.is_empty() {
            break;
        }
        taken += name.len();
        segments.push(name);
        let Some(tail) = code[taken..].strip_prefix("::") else {
            break;
        };
        if tail.starts_with('{') {
            return taken + 2 + read_group(tail, start + taken + 2, &segments, found);
        }
        if !tail.starts_with(is_name) {
            break;
        }
        taken += 2;
    }
    if segments.len() > 1 {
        found.push(Path {
            segments,
            offset: start,
        });
    }
    taken.max(1)
}

/// Reads `{a, b::{c, d}}`; returns how many bytes it took.
fn read_group(code: &str, start: usize, prefix: &[String], found: &mut Vec<Path>) -> usize {
    let mut taken = 1;
    while let Some(next) = code[taken..].chars().next() {
        if next == '}' {
            return taken + 1;
        }
        if is_name(next) {
            taken += read_path(&code[taken..], start + taken, prefix, found);
        } else {
            taken += next.len_utf8();
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(code: &str) -> Vec<String> {
        paths(code)
            .iter()
            .map(|path| path.segments.join("::"))
            .collect()
    }

    #[test]
    fn plain_and_qualified_paths_are_found() {
        let code = "use std::time::Instant;\nlet t = Instant::now(); x.y(); a::<b::C>::d";
        assert_eq!(joined(code), ["std::time::Instant", "Instant::now", "b::C"]);
    }

    #[test]
    fn groups_are_written_out() {
        let code = "use crate::{app, dataplane::{Side, sockmap::{self, Plane}}, sys};";
        assert_eq!(
            joined(code),
            [
                "crate::app",
                "crate::dataplane::Side",
                "crate::dataplane::sockmap::self",
                "crate::dataplane::sockmap::Plane",
                "crate::sys"
            ]
        );
    }

    #[test]
    fn a_path_knows_where_it_stands() {
        let code = "use a::{\n  b,\n};";
        assert_eq!(
            paths(code),
            [Path {
                segments: vec!["a".into(), "b".into()],
                offset: 11
            }]
        );
    }
}
