//! Names of types and modules: the vocabulary of ARCHITECTURE.md, and the words it rules out.

use super::Finding;
use super::source::{Tree, is_name, line_of, words};

/// Words that say nothing about what a thing does here, or that the vocabulary replaces:
/// downstream and upstream instead of client and server, plane instead of proxy.
const BANNED: [&str; 6] = ["client", "helper", "manager", "proxy", "server", "util"];

/// The crates whose names are the product's vocabulary. Tests and the lab have real clients.
const PRODUCT: [&str; 3] = [
    "scistream-common/src/",
    "scistream-daemon/src/",
    "scistream-ebpf/src/",
];

/// The keywords that a type's or a module's name follows.
const DECLARATIONS: [&str; 5] = ["struct", "enum", "trait", "mod", "type"];

/// Rule: no type or module of the product is called by a banned word.
pub(super) fn types_use_the_vocabulary(tree: &Tree) -> Vec<Finding> {
    let product = tree
        .rust
        .iter()
        .filter(|source| PRODUCT.iter().any(|prefix| source.path.starts_with(prefix)));
    let mut findings = Vec::new();
    for source in product {
        let code = source.production();
        for keyword in DECLARATIONS {
            for offset in words(&code, keyword) {
                let name = name_after(&code[offset + keyword.len()..]);
                if let Some(word) = parts(&name).iter().find(|part| is_banned(part)) {
                    let message = format!("`{name}`: the vocabulary has no `{word}`");
                    findings.push(Finding::new(&source.path, line_of(&code, offset), message));
                }
            }
        }
    }
    findings
}

fn is_banned(part: &str) -> bool {
    BANNED
        .iter()
        .any(|banned| part == *banned || part.strip_suffix('s') == Some(banned))
}

fn name_after(code: &str) -> String {
    code.trim_start()
        .chars()
        .take_while(|&character| is_name(character))
        .collect()
}

/// `PairManager` and `pair_manager` are `pair` and `manager`.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for character in name.chars() {
        if character == '_' || character.is_uppercase() {
            parts.push(String::new());
        }
        if let Some(last) = parts.last_mut().filter(|_| character != '_') {
            last.extend(character.to_lowercase());
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(path: &str, text: &str) -> Tree {
        Tree::new(vec![(path.to_owned(), text.to_owned())])
    }

    #[test]
    fn a_type_called_by_a_banned_word_is_found() {
        for text in [
            "struct PairManager;",
            "pub(crate) enum Proxy {}",
            "mod utils;",
            "mod tcp_server {",
        ] {
            let findings = types_use_the_vocabulary(&tree("scistream-daemon/src/a.rs", text));
            assert_eq!(findings.len(), 1, "{text}");
        }
    }

    #[test]
    fn words_inside_words_and_names_of_the_lab_are_fine() {
        let inside = "struct Observer; mod utilisation; enum Clients2Be {}";
        assert_eq!(
            types_use_the_vocabulary(&tree("scistream-daemon/src/a.rs", inside)),
            []
        );
        assert_eq!(
            types_use_the_vocabulary(&tree("bpf-tests/src/a.rs", "struct Server;")),
            []
        );
    }
}
