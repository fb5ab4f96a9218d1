//! Where things lie in the checkout.

use std::env;
use std::path::{Path, PathBuf};

/// The folder of the workspace's Cargo.toml.
pub(crate) fn root() -> PathBuf {
    // `cargo run` names the crate's folder at run time, which stays right when a checkout moves.
    let xtask = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    xtask.parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// The folder cargo builds into.
pub(crate) fn target() -> PathBuf {
    let root = root();
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir))
}

/// The folder the eBPF objects are left in; scistream-daemon's build script reads it there.
pub(crate) fn bpf_objects() -> PathBuf {
    root().join("target/bpf")
}

/// The folder of the private BPF toolchain. `SCISTREAM_TOOLCHAIN` lets several checkouts share one.
pub(crate) fn toolchain() -> PathBuf {
    let root = root();
    env::var_os("SCISTREAM_TOOLCHAIN")
        .map_or_else(|| root.join("target/toolchain"), |dir| root.join(dir))
}

/// Whether we run as root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
