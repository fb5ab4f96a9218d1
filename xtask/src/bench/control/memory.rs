//! The memory of a process, as the kernel counts it.

use anyhow::{Context as _, Result};

use crate::bench::sheet::{Bound, Found, Quantity};

/// Memory of a process, bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Memory {
    /// Everything resident, the files it maps included (`VmRSS`).
    resident: u64,
    /// The same, with what it shares divided among those who share it (`Pss`).
    proportional: u64,
    /// What is of its own: heap and stacks (`Anonymous`).
    anonymous: u64,
}

/// How it is read.
pub(super) fn settings() -> String {
    "Memory: VmRSS of /proc/PID/status; Pss and Anonymous of /proc/PID/smaps_rollup. Idle and quiet: nothing has happened for 2 s. 1 MB is 10⁶ bytes. The daemon's program file is mapped, and counts into VmRSS as far as it was touched.".to_owned()
}

impl Memory {
    /// That of the process `id`.
    ///
    /// Errors when it is gone.
    pub(super) fn of(id: u32) -> Result<Self> {
        let read = |name: &str| {
            let path = format!("/proc/{id}/{name}");
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
        };
        let (status, rollup) = (read("status")?, read("smaps_rollup")?);
        Ok(Self {
            resident: bytes(&status, "VmRSS")?,
            proportional: bytes(&rollup, "Pss")?,
            anonymous: bytes(&rollup, "Anonymous")?,
        })
    }

    /// As figures; the target is for what is resident.
    pub(super) fn found(self, when: &str, target: Option<f64>) -> Vec<Found> {
        let Self {
            resident,
            proportional,
            anonymous,
        } = self;
        let figure = |name: &str, bytes: u64, target: Option<Bound>| {
            let quantity = Quantity::new(format!("memory {when}, {name}"), "MB", 1);
            Quantity { target, ..quantity }.found(bytes as f64 / 1e6)
        };
        vec![
            figure("resident", resident, target.map(Bound::AtMost)),
            figure("proportional", proportional, None),
            figure("anonymous", anonymous, None),
        ]
    }
}

/// The value of a line such as `Pss:    1234 kB`.
fn bytes(text: &str, key: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name == key).then(|| value.trim().trim_end_matches(" kB"))
    });
    let kibibytes: u64 = line
        .with_context(|| format!("the kernel does not tell {key}"))?
        .parse()?;
    Ok(kibibytes * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_memory() {
        let own = Memory::of(std::process::id()).unwrap();
        assert!(own.resident > 0 && own.anonymous > 0, "{own:?}");
        let found = own.found("idle", Some(12.0));
        assert_eq!(found[0].quantity.name, "memory idle, resident");
        assert_eq!(found[0].quantity.target, Some(Bound::AtMost(12.0)));
    }

    #[test]
    fn sizes_are_read_by_their_whole_name() {
        let text = "Pss:  7 kB\nPss_Anon:  5 kB\n";
        assert_eq!(bytes(text, "Pss").unwrap(), 7 * 1_024);
        assert!(bytes(text, "Rss").is_err());
    }
}
