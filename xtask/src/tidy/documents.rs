//! Documents must stay true: names in a LIFECYCLE.md exist in the code, tests that hold something up
//! exist, links lead to files.

use std::collections::HashSet;

use super::Finding;
use super::source::{Tree, is_name};

/// Rule: a LIFECYCLE.md names only items that exist. Checked are `CamelCase` names, `a::b` paths and
/// `calls()`; names of the kernel are written without any of these.
pub(super) fn lifecycles_name_what_exists(tree: &Tree) -> Vec<Finding> {
    let lifecycles = tree
        .documents
        .iter()
        .filter(|(path, _)| path.ends_with("LIFECYCLE.md"));
    let known: HashSet<&str> = tree
        .rust
        .iter()
        .flat_map(|source| source.code.split(|c| !is_name(c)))
        .collect();
    let mut findings = Vec::new();
    for (path, text) in lifecycles {
        for (line, span) in code_spans(text) {
            for name in checked_names(span).filter(|name| !known.contains(name)) {
                let message = format!("`{span}` names `{name}`, which the code does not have");
                findings.push(Finding::new(path, line, message));
            }
        }
    }
    findings
}

/// Underscores from which on a name is a sentence, and so a test's; names of the kernel have fewer.
const SENTENCE: usize = 4;

/// Rule: a test that a document names exists, or what it claims is held by nothing.
pub(super) fn tests_that_are_named_exist(tree: &Tree) -> Vec<Finding> {
    let known: HashSet<&str> = tree
        .rust
        .iter()
        .flat_map(|source| source.code.split(|c| !is_name(c)))
        .collect();
    let mut findings = Vec::new();
    for (path, text) in &tree.documents {
        for (line, span) in code_spans(text) {
            let is_plain = span.chars().all(|c| is_name(c) && !c.is_uppercase());
            let is_sentence = span.matches('_').count() >= SENTENCE;
            if is_plain && is_sentence && !known.contains(span) {
                let message = format!("there is no test `{span}`; name the one that holds this");
                findings.push(Finding::new(path, line, message));
            }
        }
    }
    findings
}

/// Rule: relative links lead to files of the tree, and the index of decisions names them all.
pub(super) fn links_lead_somewhere(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in &tree.documents {
        for (line, target) in links(text) {
            let is_elsewhere = target.contains("://") || target.starts_with(['#', '<']);
            let file = target.split('#').next().unwrap_or(target);
            if !is_elsewhere && !exists(tree, &join(path, file)) {
                findings.push(Finding::new(
                    path,
                    line,
                    format!("the link to {target} leads nowhere"),
                ));
            }
        }
    }
    let index = tree
        .documents
        .iter()
        .find(|(path, _)| path == "docs/adr/README.md");
    for name in tree
        .paths
        .iter()
        .filter_map(|path| path.strip_prefix("docs/adr/"))
    {
        let listed = index.is_some_and(|(_, text)| text.contains(&format!("]({name})")));
        if name != "README.md" && !listed {
            let message = "this decision is missing in the index, docs/adr/README.md";
            findings.push(Finding::new(&format!("docs/adr/{name}"), 1, message));
        }
    }
    findings
}

/// What stands between backticks on one line outside fenced blocks, with the line.
fn code_spans(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    let lines = text.lines().enumerate().filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        fenced ^= is_fence;
        !fenced && !is_fence
    });
    lines.flat_map(|(index, line)| {
        let spans = line
            .split('`')
            .enumerate()
            .filter(|(part, _)| part % 2 == 1);
        spans.map(move |(_, span)| (index + 1, span))
    })
}

/// The names in a code span that claim to be items of ours.
fn checked_names(span: &str) -> impl Iterator<Item = &str> {
    let is_path = span.contains("::");
    let is_call = span.ends_with("()");
    let bare = span.trim_end_matches("()");
    let plain = bare.chars().all(|c| is_name(c) || c == ':');
    bare.split("::").filter(move |name| {
        let camel = name.starts_with(char::is_uppercase) && name.contains(char::is_lowercase);
        plain && !name.is_empty() && (is_path || is_call || camel)
    })
}

/// The targets of `[text](target)`, with their lines.
fn links(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().flat_map(|(index, line)| {
        let targets = line
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')'));
        targets.map(move |(target, _)| (index + 1, target))
    })
}

/// The path that a link in `document` leads to.
fn join(document: &str, link: &str) -> String {
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

fn exists(tree: &Tree, path: &str) -> bool {
    let folder = format!("{path}/");
    path.is_empty()
        || tree
            .paths
            .iter()
            .any(|known| known == path || known.starts_with(&folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Tree {
        let owned = |&(path, text): &(&str, &str)| (path.to_owned(), text.to_owned());
        Tree::new(files.iter().map(owned).collect())
    }

    #[test]
    fn a_lifecycle_that_names_what_is_gone_is_found() {
        let code = ("a.rs", "//! x\nstruct Pairing; mod pump { fn drain() {} }");
        let text = "`Pairing` then `pump::drain`\n`Gone` `pump::gone` `lost()` `tcp_sendmsg` `a b`";
        let findings = lifecycles_name_what_exists(&tree(&[code, ("x/LIFECYCLE.md", text)]));
        let named: Vec<_> = findings
            .iter()
            .map(|finding| finding.message.as_str())
            .collect();
        assert_eq!(named.len(), 3, "{named:?}");
        assert!(
            findings.iter().all(|finding| finding.line == 2),
            "{named:?}"
        );
    }

    #[test]
    fn a_drawing_in_a_lifecycle_is_not_read() {
        let text = "```text\n`Gone`\n```\n";
        assert_eq!(
            lifecycles_name_what_exists(&tree(&[("LIFECYCLE.md", text)])),
            []
        );
    }

    #[test]
    fn a_test_that_is_named_and_is_not_there_is_found() {
        let code = (
            "a.rs",
            "//! x\n#[test]\nfn bytes_are_whole_and_in_order() {}",
        );
        let text = "| `bytes_are_whole_and_in_order` | `bytes_are_lost_and_never_missed` |\n\
                    `tcp_bpf_sendmsg_redir` `S2CS_CONTROL_PORT_MAP_X=1` `docs: a_b_c_d_e`";
        let findings = tests_that_are_named_exist(&tree(&[code, ("docs/a.md", text)]));
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].message.contains("bytes_are_lost"));
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let text = "[a](b.md) [c](../docs/b.md#part) [d](gone.md) [e](https://x.org/y) [f](#here)";
        let findings = links_lead_somewhere(&tree(&[("docs/a.md", text), ("docs/b.md", "")]));
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].message.contains("gone.md"));
    }

    #[test]
    fn a_decision_missing_in_the_index_is_found() {
        let index = ("docs/adr/README.md", "[1](0001-a.md)");
        let files = [
            index,
            ("docs/adr/0001-a.md", ""),
            ("docs/adr/0002-b.md", ""),
        ];
        let findings = links_lead_somewhere(&tree(&files));
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].path, "docs/adr/0002-b.md");
    }
}
