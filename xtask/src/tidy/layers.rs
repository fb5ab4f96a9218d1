//! The layers of the daemon: who may import whom, and which crates may be named where.
//!
//! Arrows only go down or stay on their layer. Modules that decide are pure besides: they are
//! handed values and the time, and know no runtime, no system calls and no clock.

use super::Finding;
use super::source::{Source, Tree, line_of};
use super::uses::{Path, paths};

/// The folder whose modules have layers.
const DAEMON: &str = "scistream-daemon/src/";

/// Whether a module may touch anything but the values it is handed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Pure,
    World,
}

use Reach::{Pure, World};

/// Each module with its layer; the longest name that fits a file counts, so that a part can differ
/// from the whole.
const LAYERS: &[(&str, u8, Reach)] = &[
    ("bin", 4, World),
    ("main", 4, World),
    ("lib", 4, World),
    ("app", 4, World),
    ("telemetry", 4, World),
    ("user", 4, World),
    ("audit", 3, World),
    ("auth", 3, World),
    ("auth::claims", 3, Pure),
    ("connection_log", 3, World),
    ("control", 3, World),
    ("control::convert", 3, Pure),
    ("drain", 3, World),
    ("listener", 3, World),
    ("metrics", 3, World),
    ("session", 2, Pure),
    ("sessions", 3, World),
    ("stats", 3, World),
    ("btf", 2, World),
    ("cli", 2, Pure),
    ("config", 2, Pure),
    ("dataplane", 2, World),
    ("dataplane::behaviour", 1, Pure),
    ("dataplane::choose", 2, Pure),
    ("init", 2, World),
    ("limits", 2, World),
    ("policy", 2, Pure),
    ("probe", 2, World),
    ("errors", 1, Pure),
    ("rfc3339", 1, World),
    ("wire", 1, World),
    ("sys", 0, World),
];

/// What a pure module may not name.
const IMPURE: &[&str] = &[
    "tokio",
    "aya",
    "libc",
    "rustix",
    "socket2",
    "std::fs",
    "std::io",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::process",
    "std::thread",
    "Instant::now",
    "SystemTime",
];

/// Crates that only some modules may name, because everyone else sees them through those.
const FENCED: &[(&str, &[&str])] = &[
    ("aya", &["dataplane::sockmap"]),
    ("aya_log", &["dataplane::sockmap"]),
    ("libc", &["sys"]),
];

/// Crates that must not be named in these modules' parts: the planes have threads of their own,
/// where nothing may wake up for tokio.
const KEPT_OUT: &[(&str, &[&str])] = &[("tokio", &["dataplane::engine::", "dataplane::sockmap"])];

/// Rule: imports inside the daemon only go down, and every module has a layer.
pub(super) fn imports_go_down(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let known: Vec<String> = modules(tree).map(|(_, module)| module).collect();
    for (source, module) in modules(tree) {
        let Some(own) = layer(&module) else {
            let message =
                format!("module `{module}` has no layer: add it to xtask's tidy/layers.rs");
            findings.push(Finding::new(&source.path, 1, message));
            continue;
        };
        let code = source.production();
        for path in paths(&code) {
            let Some(target) = resolve(&module, &path) else {
                continue;
            };
            let Some(other) = layer(&target).filter(|&other| other > own) else {
                continue;
            };
            // A part may name what its whole declares: that is what parts have in common.
            if is_within(&module, declared_in(&target, &known)) {
                continue;
            }
            let message = format!(
                "layer {own} (`{module}`) imports layer {other} (`{target}`): arrows only go down"
            );
            findings.push(Finding::new(
                &source.path,
                line_of(&code, path.offset),
                message,
            ));
        }
    }
    findings
}

/// Rule: pure modules name nothing that touches the world, and crates stay where they belong.
pub(super) fn crates_stay_in_their_place(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (source, module) in modules(tree) {
        let code = source.production();
        for path in paths(&code) {
            if let Some(message) = misplaced(&module, &path) {
                findings.push(Finding::new(
                    &source.path,
                    line_of(&code, path.offset),
                    message,
                ));
            }
        }
    }
    findings
}

fn misplaced(module: &str, path: &Path) -> Option<String> {
    let joined = path.segments.join("::");
    let named = |name: &str| joined == name || joined.starts_with(&format!("{name}::"));
    // `Instant::now` is also reached as `std::time::Instant::now`.
    let ends = |name: &str| named(name) || joined.ends_with(&format!("::{name}"));
    if reach(module) == Some(Pure)
        && let Some(impure) = IMPURE.iter().find(|&&impure| ends(impure))
    {
        return Some(format!(
            "`{module}` decides without touching the world: no {impure}"
        ));
    }
    if let Some((name, places)) = FENCED.iter().find(|(name, _)| named(name))
        && !places.iter().any(|place| is_within(module, place))
    {
        return Some(format!("{name} is named only in {}", places.join(", ")));
    }
    let (name, places) = KEPT_OUT.iter().find(|(name, _)| named(name))?;
    let place = places.iter().find(|&&place| module.starts_with(place))?;
    Some(format!("{name} is kept out of {place}"))
}

/// The daemon's files with their module paths.
fn modules(tree: &Tree) -> impl Iterator<Item = (&Source, String)> {
    tree.rust.iter().filter_map(|source| {
        let inside = source.path.strip_prefix(DAEMON)?.strip_suffix(".rs")?;
        // Tests may import what they like.
        (inside != "tests" && !inside.ends_with("/tests"))
            .then(|| (source, inside.replace('/', "::")))
    })
}

fn layer(module: &str) -> Option<u8> {
    entry(module).map(|&(_, layer, _)| layer)
}

fn reach(module: &str) -> Option<Reach> {
    entry(module).map(|&(_, _, reach)| reach)
}

fn entry(module: &str) -> Option<&'static (&'static str, u8, Reach)> {
    let fitting = LAYERS.iter().filter(|(name, ..)| is_within(module, name));
    fitting.max_by_key(|(name, ..)| name.len())
}

/// Whether `module` is `whole` or a part of it.
fn is_within(module: &str, whole: &str) -> bool {
    module
        .strip_prefix(whole)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The module that declares the item `path` leads to: what is left of the first type or constant,
/// or of a function, which no file is called by.
fn declared_in<'a>(path: &'a str, known: &[String]) -> &'a str {
    let mut length = path.len();
    let mut offset = 0;
    for segment in path.split("::") {
        if segment.starts_with(char::is_uppercase) {
            length = offset;
            break;
        }
        offset += segment.len() + "::".len();
    }
    let module = path[..length].trim_end_matches("::");
    match module.rsplit_once("::") {
        Some((whole, _)) if !known.iter().any(|known| known == module) => whole,
        Some(_) | None => module,
    }
}

/// The path inside the crate that a path in `module` means.
fn resolve(module: &str, path: &Path) -> Option<String> {
    let mut base: Vec<&str> = module.split("::").collect();
    let mut rest = path.segments.iter().map(String::as_str).peekable();
    match rest.next()? {
        "crate" => base.clear(),
        // The binary and the benches see the library by its name.
        "scistream_daemon" => base.clear(),
        "self" => {}
        "super" => {
            base.pop();
            while rest.next_if_eq(&"super").is_some() {
                base.pop();
            }
        }
        _ => return None,
    }
    base.extend(rest);
    (!base.is_empty()).then(|| base.join("::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(path: &str, text: &str) -> Tree {
        Tree::new(vec![(format!("{DAEMON}{path}"), text.to_owned())])
    }

    #[test]
    fn an_upward_import_is_found_with_its_line() {
        let findings = imports_go_down(&tree(
            "sys/pipe.rs",
            "//! x\n\nuse crate::dataplane::Side;\n",
        ));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].line, 3);
        assert!(
            findings[0]
                .message
                .contains("layer 0 (`sys::pipe`) imports layer 2")
        );
    }

    #[test]
    fn an_upward_import_is_found_in_a_group_and_through_super() {
        let group = tree("sys.rs", "use crate::{sys::pipe, app::App};");
        assert_eq!(imports_go_down(&group).len(), 1);
        let parent = tree("dataplane/copy.rs", "use super::super::listener::Listener;");
        assert_eq!(imports_go_down(&parent).len(), 1);
    }

    #[test]
    fn downward_imports_and_the_own_parent_are_fine() {
        let down = tree("app.rs", "use crate::{listener, sys::pipe};");
        assert_eq!(imports_go_down(&down), []);
        let parent = tree(
            "dataplane/behaviour.rs",
            "use super::Side;\nuse crate::dataplane::Plane;",
        );
        assert_eq!(imports_go_down(&parent), []);
    }

    #[test]
    fn a_part_may_not_import_its_higher_sibling() {
        let files = [
            ("dataplane.rs", "//! x"),
            ("dataplane/copy.rs", "//! x"),
            ("dataplane/behaviour.rs", "use super::{copy, copy::Pump};"),
        ];
        let files = files.map(|(path, text)| (format!("{DAEMON}{path}"), text.to_owned()));
        assert_eq!(imports_go_down(&Tree::new(files.to_vec())).len(), 2);
    }

    #[test]
    fn tests_may_import_upward() {
        let inline = tree("sys.rs", "#[cfg(test)]\nmod tests { use crate::app::App; }");
        assert_eq!(imports_go_down(&inline), []);
        assert_eq!(
            imports_go_down(&tree("sys/tests.rs", "use crate::app::App;")),
            []
        );
    }

    #[test]
    fn a_module_without_a_layer_is_found() {
        let findings = imports_go_down(&tree("brand_new.rs", "//! x"));
        assert!(findings[0].message.contains("`brand_new` has no layer"));
    }

    #[test]
    fn a_pure_module_with_a_clock_or_a_runtime_is_found() {
        for text in [
            "use tokio::net::TcpStream;",
            "let t = Instant::now();",
            "std::time::Instant::now()",
        ] {
            let findings = crates_stay_in_their_place(&tree("dataplane/choose.rs", text));
            assert_eq!(findings.len(), 1, "{text}");
        }
        let time = tree("dataplane/choose.rs", "use std::time::{Duration, Instant};");
        assert_eq!(crates_stay_in_their_place(&time), []);
    }

    #[test]
    fn tokio_on_the_planes_own_threads_is_found() {
        let text = "use tokio::sync::oneshot;";
        let inside = tree("dataplane/engine/worker.rs", text);
        assert_eq!(crates_stay_in_their_place(&inside).len(), 1);
        let border = tree("dataplane/engine.rs", text);
        assert_eq!(crates_stay_in_their_place(&border), []);
    }

    #[test]
    fn aya_outside_its_fence_is_found() {
        let outside = tree("dataplane/copy.rs", "use aya::maps::SockHash;");
        assert_eq!(crates_stay_in_their_place(&outside).len(), 1);
        let inside = tree("dataplane/sockmap/program.rs", "use aya::maps::SockHash;");
        assert_eq!(crates_stay_in_their_place(&inside), []);
    }
}
