//! Compiles the control protocols, and embeds the eBPF object that `cargo xtask build` left in
//! `target/bpf/`, when there is one.

use std::path::PathBuf;
use std::{env, fs};

use prost::Message as _;

/// The protocols' files, in `proto/`.
const PROTOCOLS: [&str; 2] = ["scistream.proto", "gateway.proto"];

fn main() -> anyhow::Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    embed_object(&out)?;
    compile_protocols(&out)
}

fn embed_object(out: &std::path::Path) -> anyhow::Result<()> {
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
    fs::write(out.join("scistream.bpf.o"), bytes)?;
    Ok(())
}

/// Generates both ends of both protocols, and their description for reflection.
fn compile_protocols(out: &std::path::Path) -> anyhow::Result<()> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(PROTOCOLS, ["proto"])?;
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
