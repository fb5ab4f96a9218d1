//! The shape of files: a first line that says the role, and a length that a reader can hold.

use super::Finding;
use super::source::Tree;

/// No Rust file is longer.
const MOST_LINES: usize = 600;
/// Nineteen of twenty Rust files are at most this long.
const P95_LINES: usize = 400;

/// Rule: every Rust file begins with `//!`.
pub(super) fn files_say_their_role(tree: &Tree) -> Vec<Finding> {
    tree.rust
        .iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| Finding::new(&source.path, 1, "the first line must say the role: `//! …`"))
        .collect()
}

/// Rule: no file is longer than 600 lines, and few are longer than 400.
pub(super) fn files_are_short(tree: &Tree) -> Vec<Finding> {
    let mut files: Vec<(usize, &str)> = tree
        .rust
        .iter()
        .map(|source| (source.text.lines().count(), source.path.as_str()))
        .collect();
    files.sort_unstable();
    // Every long file beyond the twentieth part is one too many; the shortest of them are named.
    let allowed = files.len() / 20;
    let long = files.iter().filter(|(lines, _)| *lines > P95_LINES).count();
    let mut findings = Vec::new();
    for (lines, path) in files.iter().filter(|(lines, _)| *lines > MOST_LINES) {
        let message = format!("{lines} lines; the most is {MOST_LINES}: split it by noun");
        findings.push(Finding::new(path, MOST_LINES, message));
    }
    let surplus = files.iter().filter(|(lines, _)| *lines > P95_LINES);
    for (lines, path) in surplus.take(long.saturating_sub(allowed)) {
        let message = format!(
            "{lines} lines; at most {allowed} of {} files may be longer than {P95_LINES}",
            files.len()
        );
        findings.push(Finding::new(path, P95_LINES, message));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(lengths: &[usize]) -> Tree {
        let file =
            |(index, &lines): (usize, &usize)| (format!("{index}.rs"), "//! x\n".repeat(lines));
        Tree::new(lengths.iter().enumerate().map(file).collect())
    }

    #[test]
    fn a_file_without_a_role_is_found() {
        let files = [
            ("a.rs", "use b;\n"),
            ("b.rs", "//! Role.\n"),
            ("c.rs", "//!\n"),
        ];
        let files = files.map(|(path, text)| (path.to_owned(), text.to_owned()));
        let findings = files_say_their_role(&Tree::new(files.to_vec()));
        let paths: Vec<_> = findings
            .iter()
            .map(|finding| finding.path.as_str())
            .collect();
        assert_eq!(paths, ["a.rs", "c.rs"]);
    }

    #[test]
    fn a_file_longer_than_the_most_is_found() {
        let mut lengths = vec![10; 20];
        lengths.push(601);
        assert_eq!(files_are_short(&tree(&lengths)).len(), 1);
        lengths[20] = 600;
        assert_eq!(files_are_short(&tree(&lengths)), []);
    }

    #[test]
    fn a_second_long_file_among_twenty_is_one_too_many() {
        let mut lengths = vec![10; 18];
        lengths.extend([401, 402]);
        let findings = files_are_short(&tree(&lengths));
        assert_eq!(findings.len(), 1);
        assert!(
            findings[0].message.starts_with("401 lines"),
            "{}",
            findings[0]
        );
    }
}
