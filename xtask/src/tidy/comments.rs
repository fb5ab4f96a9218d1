//! What comments and documents may not hold: open ends, and line numbers that rot.

use super::Finding;
use super::source::{Tree, line_of, words};

/// Words that put work off. Written in pieces, so that this file does not hold them.
const OPEN_ENDS: [&str; 3] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];

/// Endings of the files that a citation would name.
const SOURCES: [&str; 4] = [".rs:", ".c:", ".h:", ".py:"];

/// Rule: nothing is put off in a comment.
pub(super) fn no_open_ends(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, prose) in prose(tree) {
        for word in OPEN_ENDS {
            for offset in words(&prose, word) {
                let message = format!("`{word}`: do it now, or open an issue and say nothing here");
                findings.push(Finding::new(path, line_of(&prose, offset), message));
            }
        }
    }
    findings
}

/// Rule: nothing cites a line number.
pub(super) fn no_line_numbers(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, prose) in prose(tree) {
        for ending in SOURCES {
            for (offset, _) in prose.match_indices(ending) {
                let after = &prose[offset + ending.len()..];
                if after.starts_with(|next: char| next.is_ascii_digit()) {
                    let message = "a line number is wrong in a month: cite the item's name";
                    findings.push(Finding::new(path, line_of(&prose, offset), message));
                }
            }
        }
    }
    findings
}

/// The comments of the Rust files and the documents without `code spans`.
fn prose(tree: &Tree) -> impl Iterator<Item = (&str, String)> {
    let comments = tree
        .rust
        .iter()
        .map(|source| (source.path.as_str(), without_spans(&source.comments)));
    let documents = tree
        .documents
        .iter()
        .map(|(path, text)| (path.as_str(), without_spans(text)));
    comments.chain(documents)
}

/// Blanks what stands between backticks on one line, unless it cites a source: a rule must be
/// able to name what it forbids.
fn without_spans(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        for (index, part) in line.split('`').enumerate() {
            if index > 0 {
                out.push('`');
            }
            let inside = index % 2 == 1;
            let is_marker = OPEN_ENDS.contains(&part);
            if inside && is_marker {
                out.extend(std::iter::repeat_n(' ', part.len()));
            } else {
                out.push_str(part);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(path: &str, text: String) -> Tree {
        Tree::new(vec![(path.to_owned(), text)])
    }

    #[test]
    fn an_open_end_in_a_comment_or_a_document_is_found() {
        for word in OPEN_ENDS {
            let findings = no_open_ends(&tree(
                "a.rs",
                format!("//! a\nlet x = 1; // {word}: later\n"),
            ));
            assert_eq!(findings.len(), 1, "{word}");
            assert_eq!(findings[0].line, 2);
            assert_eq!(
                no_open_ends(&tree("a.md", format!("# A\n\n{word} write this"))).len(),
                1
            );
        }
    }

    #[test]
    fn a_string_or_the_name_of_the_rule_is_no_open_end() {
        let word = OPEN_ENDS[0];
        assert_eq!(no_open_ends(&tree("a.rs", format!("f(\"{word}\");"))), []);
        assert_eq!(
            no_open_ends(&tree("a.md", format!("no `{word}` is kept"))),
            []
        );
    }

    #[test]
    fn a_cited_line_number_is_found() {
        let cited = ["see skmsg.c:12", "see `sys.rs:7` there"];
        for text in cited {
            assert_eq!(
                no_line_numbers(&tree("a.md", text.to_owned())).len(),
                1,
                "{text}"
            );
            assert_eq!(
                no_line_numbers(&tree("a.rs", format!("// {text}"))).len(),
                1,
                "{text}"
            );
        }
        assert_eq!(
            no_line_numbers(&tree("a.md", "see sys.rs: it says".to_owned())),
            []
        );
    }
}
