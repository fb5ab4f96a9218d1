//! Fences: where `unsafe` may stand, and how a lint is set aside.

use super::Finding;
use super::source::{Tree, line_of, words};

/// Crates that are about memory shared with the kernel.
const UNSAFE_CRATES: [&str; 2] = ["scistream-ebpf/", "scistream-common/"];

/// Rule: `unsafe` stands only in modules called `sys` and in the crates next to the kernel.
pub(super) fn unsafe_stays_in_sys(tree: &Tree) -> Vec<Finding> {
    let outside = tree
        .rust
        .iter()
        .filter(|source| !may_be_unsafe(&source.path));
    outside
        .flat_map(|source| {
            words(&source.code, "unsafe").map(|offset| {
                let message = "`unsafe` belongs into a `sys` module, behind a safe function";
                Finding::new(&source.path, line_of(&source.code, offset), message)
            })
        })
        .collect()
}

/// Rule: a lint is set aside by `#[expect(…, reason = "…")]`, which says when it is out of date.
pub(super) fn lints_are_expected_not_allowed(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.rust {
        for offset in words(&source.code, "allow") {
            let before = source.code[..offset].trim_end();
            let is_attribute = before.ends_with("#[") || before.ends_with("#![");
            if is_attribute && source.code[offset..].starts_with("allow(") {
                let message = "write `#[expect(…, reason = \"…\")]` instead of allow";
                findings.push(Finding::new(
                    &source.path,
                    line_of(&source.code, offset),
                    message,
                ));
            }
        }
    }
    findings
}

fn may_be_unsafe(path: &str) -> bool {
    let in_sys = path
        .split('/')
        .any(|part| part == "sys" || part == "sys.rs");
    in_sys || UNSAFE_CRATES.iter().any(|name| path.starts_with(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(path: &str, text: &str) -> Tree {
        Tree::new(vec![(path.to_owned(), text.to_owned())])
    }

    #[test]
    fn unsafe_outside_sys_is_found() {
        let text = "//! x\nfn f() {\n    unsafe { g() }\n}";
        let findings = unsafe_stays_in_sys(&tree("scistream-daemon/src/probe.rs", text));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].line, 3);
    }

    #[test]
    fn unsafe_in_sys_or_beside_the_kernel_is_fine() {
        for path in [
            "scistream-daemon/src/sys/pipe.rs",
            "bpf-tests/src/sys.rs",
            "scistream-ebpf/src/main.rs",
        ] {
            assert_eq!(
                unsafe_stays_in_sys(&tree(path, "unsafe { g() }")),
                [],
                "{path}"
            );
        }
        let prose = "// unsafe\n#![deny(unsafe_code)]\nf(\"unsafe\");";
        assert_eq!(unsafe_stays_in_sys(&tree("a.rs", prose)), []);
    }

    #[test]
    fn an_allow_attribute_is_found() {
        for text in [
            "#[allow(dead_code)]",
            "#![allow(dead_code, reason = \"x\")]",
        ] {
            assert_eq!(
                lints_are_expected_not_allowed(&tree("a.rs", text)).len(),
                1,
                "{text}"
            );
        }
        for text in [
            "#[expect(dead_code, reason = \"x\")]",
            "self.allow(1)",
            "// #[allow(x)]",
        ] {
            assert_eq!(
                lints_are_expected_not_allowed(&tree("a.rs", text)),
                [],
                "{text}"
            );
        }
    }
}
