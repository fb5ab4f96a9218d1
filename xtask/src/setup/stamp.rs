//! The stamp: what the private toolchain folder holds, so that a finished set-up costs nothing.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::compiler::{Compiler, Version};
use super::{debian, linker};

/// A compiler and a linker for the BPF target that fit together.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BpfToolchain {
    dir: PathBuf,
    stamp: Stamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    /// The layout of the folder; another one is set up anew.
    layout: u32,
    compiler: Compiler,
    version: Version,
    linker: String,
}

/// Raised when what set-up leaves in the folder changes.
const LAYOUT: u32 = 1;

impl BpfToolchain {
    /// The toolchain that was installed into `dir`.
    pub(super) fn new(dir: PathBuf, compiler: Compiler, version: Version) -> Self {
        let linker = linker::VERSION.to_owned();
        Self {
            dir,
            stamp: Stamp {
                layout: LAYOUT,
                compiler,
                version,
                linker,
            },
        }
    }

    /// Where the compiler comes from.
    pub(crate) fn compiler(&self) -> &Compiler {
        &self.stamp.compiler
    }

    /// The root of Debian's unpacked compiler; there only when the compiler is Debian's.
    pub(crate) fn debian_root(&self) -> PathBuf {
        debian::sysroot(&self.dir)
    }

    /// The bpf-linker program.
    pub(crate) fn linker(&self) -> PathBuf {
        linker::program(&self.dir)
    }

    /// One line for people: which compiler, which linker.
    pub(crate) fn describe(&self) -> String {
        let Stamp {
            compiler,
            version,
            linker,
            layout: _,
        } = &self.stamp;
        format!("{compiler} {version}, bpf-linker {linker}")
    }
}

/// The toolchain in `dir`, if its stamp is of this version and its programs are there.
pub(super) fn read(dir: &Path) -> Option<BpfToolchain> {
    let text = fs::read_to_string(file(dir)).ok()?;
    let stamp: Stamp = serde_json::from_str(&text).ok()?;
    let current = stamp.layout == LAYOUT && stamp.linker == linker::VERSION;
    let there = linker::program(dir).is_file() && stamp.compiler.is_there(dir);
    (current && there).then(|| BpfToolchain {
        dir: dir.to_path_buf(),
        stamp,
    })
}

/// Remembers a finished set-up.
pub(super) fn write(toolchain: &BpfToolchain) -> Result<()> {
    let path = file(&toolchain.dir);
    let text = serde_json::to_string_pretty(&toolchain.stamp)?;
    fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))
}

fn file(dir: &Path) -> PathBuf {
    dir.join("stamp.json")
}
