//! The modules that a guest needs, and the order to load them in.
//!
//! The order comes from what each module says of itself (`depends=` in `.modinfo`): `modules.dep`
//! is made when a kernel is installed, and these are only unpacked.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// What the tests need of the kernel beyond what is built in: the results' way out, links, queueing
/// disciplines, congestion control, socket statistics, TLS with its ciphers. What one kernel has
/// built in, another has as a module.
const WANTED: [&str; 15] = [
    "virtio_pci",
    "virtio_console",
    "veth",
    "tun",
    "tls",
    "sch_netem",
    "sch_fq",
    "sch_fq_codel",
    "sch_tbf",
    "tcp_bbr",
    "inet_diag",
    "tcp_diag",
    "aesni_intel",
    "ghash_clmulni_intel",
    "gcm",
];

/// One module, unpacked.
pub(super) struct Module {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

/// The wanted modules below `folder` and all they depend on, each after what it needs. `shell` is
/// the busybox that unpacks compressed ones.
pub(super) fn in_order(folder: &Path, shell: &Path) -> Result<Vec<Module>> {
    let mut files = BTreeMap::new();
    find(folder, &mut files)?;
    let mut load = Load {
        files,
        shell,
        order: Vec::new(),
    };
    for name in WANTED {
        load.add(name, &mut Vec::new())?;
    }
    Ok(load.order)
}

struct Load<'a> {
    files: BTreeMap<String, PathBuf>,
    shell: &'a Path,
    order: Vec<Module>,
}

impl Load<'_> {
    /// Adds a module after those it needs. One that has no file is built in, or this kernel does
    /// not have it: the tests say what they miss.
    fn add(&mut self, name: &str, above: &mut Vec<String>) -> Result<()> {
        if self.order.iter().any(|module| module.name == name) {
            return Ok(());
        }
        if above.iter().any(|waiting| waiting == name) {
            bail!(
                "the kernel module {name} needs itself: {}",
                above.join(", ")
            );
        }
        let Some(path) = self.files.get(name) else {
            return Ok(());
        };
        let bytes = read(path, self.shell)?;
        above.push(name.to_owned());
        for needed in depends(&bytes) {
            self.add(&needed, above)?;
        }
        above.pop();
        let name = name.to_owned();
        self.order.push(Module { name, bytes });
        Ok(())
    }
}

/// All modules below `folder`, by name: the kernel takes `-` and `_` for the same.
fn find(folder: &Path, found: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, found)?;
            continue;
        }
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        if let Some((name, "" | ".xz")) = file.split_once(".ko") {
            found.insert(name.replace('-', "_"), path.clone());
        }
    }
    Ok(())
}

fn read(path: &Path, shell: &Path) -> Result<Vec<u8>> {
    if path.extension().is_none_or(|extension| extension != "xz") {
        return fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    }
    let mut command = Command::new(shell);
    command.arg("xzcat").arg(path).stderr(Stdio::null());
    let output = command
        .output()
        .with_context(|| format!("cannot start {}", shell.display()))?;
    if !output.status.success() {
        bail!("the kernel module {} cannot be unpacked", path.display());
    }
    Ok(output.stdout)
}

/// The names after `depends=` in a module's own description.
fn depends(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let start = module.windows(KEY.len()).position(|window| window == KEY);
    let Some(start) = start else {
        return Vec::new();
    };
    let rest = &module[start + KEY.len()..];
    let end = rest.iter().position(|&byte| byte == 0).unwrap_or(0);
    let names = String::from_utf8_lossy(&rest[..end]);
    let names = names.split(',').filter(|name| !name.is_empty());
    names.map(|name| name.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_depends_on_is_read_from_its_description() {
        let module = b"\x7fELF\0license=GPL\0depends=virtio,virtio-ring\0name=x\0";
        assert_eq!(depends(module), ["virtio", "virtio_ring"]);
        assert!(depends(b"\0depends=\0name=x\0").is_empty());
        assert!(depends(b"\x7fELF").is_empty());
    }

    #[test]
    fn modules_come_after_what_they_need() {
        let folder = std::env::temp_dir().join(format!("scistream-modules-{}", std::process::id()));
        fs::create_dir_all(folder.join("net")).unwrap();
        let write = |name: &str, depends: &str| {
            fs::write(folder.join(name), format!("x\0depends={depends}\0")).unwrap();
        };
        write("net/veth.ko", "first-needed");
        write("first_needed.ko", "deeper");
        write("deeper.ko", "");
        write("unwanted.ko", "");
        let order = in_order(&folder, Path::new("unused"));
        fs::remove_dir_all(&folder).unwrap();
        let names: Vec<String> = order.unwrap().into_iter().map(|it| it.name).collect();
        assert_eq!(names, ["deeper", "first_needed", "veth"]);
    }
}
