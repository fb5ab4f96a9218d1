//! The real parts that tests run beside the gateway: Python's and Node's packages, in a folder of
//! the target, by the lists in bpf-tests/real.
//!
//! Each half is made anew as a whole when its list has changed, and costs one read when not.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use bpf_tests::real::{NODE, PYTHON, PYTHON_LIST, lists};

use super::say;
use crate::{cmd, workspace};

/// The lists that Node's half is made of.
const NODE_LISTS: [&str; 2] = ["package.json", "package-lock.json"];

/// Sees to it that both halves are there.
pub(super) fn ensure() -> Result<()> {
    let root = workspace::target().join(bpf_tests::real::FOLDER);
    fs::create_dir_all(&root).with_context(|| format!("{} cannot be made", root.display()))?;
    let path = root.join("lock");
    // Two commands started at once must not install into the same folder.
    let _lock = File::create(&path)
        .and_then(|file| file.lock().map(|()| file))
        .with_context(|| format!("{} cannot be locked", path.display()))?;
    Half::new(&root, PYTHON, &[PYTHON_LIST])?.ensure(python)?;
    Half::new(&root, NODE, &NODE_LISTS)?.ensure(node)
}

/// A folder that is as its lists say, or is not there.
struct Half {
    folder: PathBuf,
    stamp: PathBuf,
    wanted: String,
}

impl Half {
    fn new(root: &Path, name: &str, from: &[&str]) -> Result<Self> {
        let mut wanted = String::new();
        for list in from {
            let path = lists().join(list);
            let text = fs::read_to_string(&path);
            wanted += &text.with_context(|| format!("{} cannot be read", path.display()))?;
        }
        Ok(Self {
            folder: root.join(name),
            stamp: root.join(format!("{name}.stamp")),
            wanted,
        })
    }

    fn ensure(&self, install: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let made = fs::read_to_string(&self.stamp).is_ok_and(|made| made == self.wanted);
        if made && self.folder.is_dir() {
            return Ok(());
        }
        let folder = &self.folder;
        if folder.exists() {
            fs::remove_dir_all(folder)
                .with_context(|| format!("{} cannot be removed", folder.display()))?;
        }
        install(folder)?;
        fs::write(&self.stamp, &self.wanted)
            .with_context(|| format!("{} cannot be written", self.stamp.display()))
    }
}

fn python(folder: &Path) -> Result<()> {
    say("installing Python's packages for the tests against real parts");
    cmd::output(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--requirement",
    ])
    .arg(lists().join(PYTHON_LIST));
    cmd::output_or("Python's packages cannot be installed", &mut pip).map(drop)
}

fn node(folder: &Path) -> Result<()> {
    say("installing Node's packages for the tests against real parts");
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    for list in NODE_LISTS {
        fs::copy(lists().join(list), folder.join(list))?;
    }
    let mut npm = Command::new("npm");
    npm.current_dir(folder).args([
        "ci",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--loglevel=error",
    ]);
    cmd::output_or("Node's packages cannot be installed", &mut npm).map(drop)
}
