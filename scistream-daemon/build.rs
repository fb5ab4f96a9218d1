//! Embeds the eBPF object that `cargo xtask build` left in `target/bpf/`, when there is one.

use std::path::PathBuf;
use std::{env, fs};

fn main() -> std::io::Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let object = env::var_os("SCISTREAM_BPF_OBJECT").map_or_else(
        || {
            let workspace = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
            workspace.join("../target/bpf/scistream")
        },
        PathBuf::from,
    );
    println!("cargo::rerun-if-env-changed=SCISTREAM_BPF_OBJECT");
    println!("cargo::rerun-if-changed={}", object.display());
    // Without the object the daemon still builds, and declines the sockmap plane with that reason.
    let bytes = fs::read(&object).unwrap_or_default();
    fs::write(out.join("scistream.bpf.o"), bytes)
}
