//! What `s2cs probe` says: of this kernel, and of those that `cargo xtask vm` booted.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::vm::{self, PROBE_FILE};

/// Probes by kernel: this machine's, asked now, and those below `target/vm/`. What is not there is
/// left out: a report without them is still one.
pub(super) fn collect(s2cs: Option<&Path>) -> BTreeMap<String, String> {
    let mut probes = of_folder(&vm::folder());
    let own = s2cs.and_then(|binary| Command::new(binary).arg("probe").output().ok());
    if let Some(output) = own {
        let release = rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        probes.insert(format!("{release} (this machine)"), text);
    }
    probes
}

fn of_folder(folder: &Path) -> BTreeMap<String, String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return BTreeMap::new();
    };
    let probe = |entry: fs::DirEntry| {
        let kernel = entry.file_name().to_str()?.to_owned();
        Some((
            kernel,
            fs::read_to_string(entry.path().join(PROBE_FILE)).ok()?,
        ))
    };
    entries.flatten().filter_map(probe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_without_a_probe_are_left_out() {
        let folder = std::env::temp_dir().join(format!("probes-{}", std::process::id()));
        fs::create_dir_all(folder.join("6.12")).unwrap();
        fs::create_dir_all(folder.join("5.10")).unwrap();
        fs::write(folder.join("6.12").join(PROBE_FILE), "fine\n").unwrap();
        let probes = of_folder(&folder);
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(
            probes,
            BTreeMap::from([("6.12".to_owned(), "fine\n".to_owned())])
        );
        assert!(of_folder(&folder).is_empty());
    }
}
