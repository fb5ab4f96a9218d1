//! Builds the eBPF objects: the one file that knows the compiler's flags for BPF.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use object::build::elf::{Builder, SectionData};
use object::elf::SHT_STRTAB;
use serde_json::Value;

use crate::setup::{self, BpfToolchain, Compiler, Core};
use crate::{cmd, workspace};

const PACKAGE: &str = "scistream-ebpf";

/// Builds every program of scistream-ebpf and leaves the objects in target/bpf/.
pub(crate) fn build() -> Result<()> {
    let toolchain = setup::bpf_toolchain()?;
    eprintln!("building the eBPF objects with {}", toolchain.describe());
    let mut command = cargo(&toolchain, "build");
    cmd::run(&mut command).with_context(|| format!("{PACKAGE} could not be built for BPF"))?;
    let built = build_dir().join(target()).join("release");
    for name in binaries()? {
        publish(&built.join(&name), &workspace::bpf_objects().join(&name))?;
    }
    Ok(())
}

/// Lints the programs for the BPF target; tells why not where the toolchain has no linter.
pub(crate) fn lint() -> Result<Option<String>> {
    let toolchain = setup::bpf_toolchain()?;
    let mut command = match toolchain.compiler() {
        Compiler::Debian { core: _ } => cargo_clippy(&toolchain),
        Compiler::Rustup { toolchain: name } => {
            let mut ask = Command::new("rustup");
            if !cmd::status(ask.args(["run", name, "cargo", "clippy", "-V"]))?.success() {
                return Ok(Some(format!("rustup's {name} has no clippy")));
            }
            cargo(&toolchain, "clippy")
        }
    };
    command.args(["--", "-D", "warnings"]);
    cmd::run(&mut command).map(|()| None)
}

/// Checks the documentation of the programs, private items too.
pub(crate) fn document() -> Result<()> {
    let toolchain = setup::bpf_toolchain()?;
    let mut command = cargo(&toolchain, "doc");
    match toolchain.compiler() {
        Compiler::Debian { core: _ } => {
            command.env("RUSTDOC", setup::debian_rustdoc(&toolchain.debian_root()));
        }
        Compiler::Rustup { toolchain: _ } => {}
    }
    command.args(["--lib", "--no-deps", "--document-private-items"]);
    cmd::run(command.env("RUSTDOCFLAGS", "-D warnings"))
}

/// `cargo SUBCOMMAND` for all programs, on the BPF target.
fn cargo(toolchain: &BpfToolchain, subcommand: &str) -> Command {
    let mut command = match toolchain.compiler() {
        Compiler::Debian { core: _ } => cmd::cargo(),
        Compiler::Rustup { toolchain } => {
            let mut command = Command::new("rustup");
            command
                .args(["run", toolchain, "cargo"])
                .current_dir(workspace::root());
            // This build's `RUSTC` and library path would win over the toolchain's own.
            command
                .env_remove("RUSTC")
                .env_remove("LD_LIBRARY_PATH")
                .env_remove("CARGO");
            command
        }
    };
    arguments(&mut command, toolchain, subcommand);
    command
}

/// Debian's linter beside Debian's compiler: the workspace's own would read another `core`.
fn cargo_clippy(toolchain: &BpfToolchain) -> Command {
    let mut command = Command::new(toolchain.debian_root().join("usr/bin/cargo-clippy"));
    command.current_dir(workspace::root());
    arguments(&mut command, toolchain, "clippy");
    command
}

fn arguments(command: &mut Command, toolchain: &BpfToolchain, subcommand: &str) {
    let target_dir = build_dir();
    command
        .args([
            subcommand,
            "--release",
            "--package",
            PACKAGE,
            "--bins",
            "--target",
            target(),
        ])
        .arg("--target-dir")
        .arg(target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", flags(&toolchain.linker()))
        // The BPF target is unstable in every compiler.
        .env("RUSTC_BOOTSTRAP", "1");
    let core = match toolchain.compiler() {
        Compiler::Debian { core } => {
            let root = toolchain.debian_root();
            command.env("RUSTC", setup::debian_rustc(&root));
            command.env("LD_LIBRARY_PATH", setup::debian_libraries(&root));
            *core
        }
        Compiler::Rustup { toolchain: _ } => Core::Source,
    };
    match core {
        Core::Prebuilt => {}
        Core::Source => {
            command.args(["-Z", "build-std=core"]);
        }
    }
}

/// Flags of the compiler, in the form that `CARGO_ENCODED_RUSTFLAGS` wants.
fn flags(linker: &Path) -> OsString {
    let mut linked = OsString::from("-Clinker=");
    linked.push(linker);
    let flags = [
        // aya-ebpf's bindings depend on the machine that the programs will run on.
        format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH).into(),
        // BTF is made from the debug information.
        "-Cdebuginfo=2".into(),
        "-Clink-arg=--btf".into(),
        linked,
    ];
    flags.join(std::ffi::OsStr::new("\x1f"))
}

/// The BPF target of this machine's byte order.
const fn target() -> &'static str {
    if cfg!(target_endian = "little") {
        "bpfel-unknown-none"
    } else {
        "bpfeb-unknown-none"
    }
}

/// A folder of its own: another compiler and other flags would drive out the workspace's files.
fn build_dir() -> PathBuf {
    workspace::root().join("target/bpf-build")
}

/// The names of the package's programs, as cargo knows them.
fn binaries() -> Result<Vec<String>> {
    let mut command = cmd::cargo();
    let text = cmd::output(command.args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let names = binaries_in(&serde_json::from_str(&text)?);
    if names.is_empty() {
        bail!("{PACKAGE} has no binaries");
    }
    Ok(names)
}

fn binaries_in(metadata: &Value) -> Vec<String> {
    let items = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    items(metadata, "packages")
        .iter()
        .filter(|package| package["name"] == PACKAGE)
        .flat_map(|package| items(package, "targets"))
        .filter(|target| target["kind"][0] == "bin")
        .filter_map(|target| target["name"].as_str().map(str::to_owned))
        .collect()
}

/// Copies an object, without what only a debugger reads, and only when it differs: the daemon is rebuilt
/// when the file's time changes.
fn publish(from: &Path, to: &Path) -> Result<()> {
    let object = fs::read(from).with_context(|| format!("{} cannot be read", from.display()))?;
    let object = without_dwarf(&object)
        .with_context(|| format!("{} is not what a BPF linker makes", from.display()))?;
    if fs::read(to).is_ok_and(|present| present == object) {
        return Ok(());
    }
    let partial = to.with_extension("partial");
    let dir = workspace::bpf_objects();
    fs::create_dir_all(&dir)
        .and_then(|()| fs::write(&partial, &object))
        .and_then(|()| fs::rename(&partial, to))
        .with_context(|| format!("{} cannot be written", to.display()))?;
    eprintln!("{} is new ({} bytes)", to.display(), object.len());
    Ok(())
}

/// The object without DWARF: BTF was made from it, nothing else reads it, and all of an object is part
/// of the daemon's file and mapped with it.
fn without_dwarf(object: &[u8]) -> Result<Vec<u8>> {
    let mut builder = Builder::read(object)?;
    for section in &mut builder.sections {
        let name = section.name.as_slice();
        section.delete = name.starts_with(b".debug_") || name.starts_with(b".rel.debug_");
    }
    builder.delete_orphans();
    // LLVM has one table for the names of sections and of symbols, the builder wants one for each.
    let names = builder.sections.add();
    names.name = b".shstrtab".as_slice().into();
    names.sh_type = SHT_STRTAB;
    names.data = SectionData::SectionString;
    let mut stripped = Vec::new();
    builder.write(&mut stripped)?;
    Ok(stripped)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_binaries_of_the_ebpf_package_are_built() {
        let metadata = json!({"packages": [
            {"name": "scistream-ebpf", "targets": [
                {"name": "scistream", "kind": ["bin"]},
                {"name": "naive", "kind": ["bin"]},
                {"name": "shared", "kind": ["lib"]}]},
            {"name": "scistream-daemon", "targets": [{"name": "s2cs", "kind": ["bin"]}]}]});
        assert_eq!(binaries_in(&metadata), ["scistream", "naive"]);
    }

    #[test]
    fn flags_name_the_linker_whatever_its_path() {
        let flags = flags(Path::new("/a folder/bpf-linker"));
        let flags = flags.to_string_lossy().into_owned();
        assert!(
            flags
                .split('\x1f')
                .any(|flag| flag == "-Clinker=/a folder/bpf-linker"),
            "{flags}"
        );
    }
}
