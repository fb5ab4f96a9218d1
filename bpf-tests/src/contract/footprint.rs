//! What a process holds: descriptors, threads, memory. Read from `/proc`, from outside.

use std::fmt;
use std::fs;

use anyhow::{Context, Result};
use aya::maps::{HashMap, Map, MapData, SockHash};
use rustix::io::Errno;

/// More entries than any test makes.
const MOST_ENTRIES: usize = 1 << 20;

/// What a process holds at one moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Footprint {
    /// Open descriptors of any kind.
    pub descriptors: u64,
    /// Those of them that are ends of pipes.
    pub pipes: u64,
    /// Those of them that are sockets.
    pub sockets: u64,
    /// Entries of its eBPF maps that are keyed by a socket's cookie. Counted one by one: how many
    /// bytes they take is accounted for from Linux 6.4 on only.
    pub entries: u64,
    /// Threads.
    pub threads: u64,
    /// Bytes of memory that are resident and its own (`RssAnon`).
    pub memory: u64,
    /// TCP sockets that its network namespace has, those without a descriptor included, and those
    /// in TIME_WAIT not.
    pub tcp_sockets: u64,
}

impl Footprint {
    /// Looks at the process with this id.
    ///
    /// # Errors
    /// When it is gone or its files cannot be read.
    pub fn of(process: u32) -> Result<Self> {
        let mut footprint = Self {
            descriptors: 0,
            pipes: 0,
            sockets: 0,
            entries: 0,
            threads: fs::read_dir(format!("/proc/{process}/task"))?.count() as u64,
            memory: 1024 * status(process, "RssAnon:")?,
            tcp_sockets: tcp_sockets(process)?,
        };
        for entry in fs::read_dir(format!("/proc/{process}/fd"))? {
            let entry = entry?;
            // One that is closed while we look is not held.
            let Ok(link) = fs::read_link(entry.path()) else {
                continue;
            };
            let kind = link.to_string_lossy();
            footprint.descriptors += 1;
            footprint.pipes += u64::from(kind.starts_with("pipe:"));
            footprint.sockets += u64::from(kind.starts_with("socket:"));
            if kind == "anon_inode:bpf-map" {
                let number = entry.file_name();
                let path = format!("/proc/{process}/fdinfo/{}", number.to_string_lossy());
                footprint.entries += entries(field(&fs::read_to_string(path)?, "map_id:")?)?;
            }
        }
        Ok(footprint)
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            descriptors,
            pipes,
            sockets,
            entries,
            threads,
            memory,
            tcp_sockets,
        } = self;
        let kib = memory / 1024;
        write!(
            f,
            "{descriptors} descriptors ({pipes} pipe ends, {sockets} sockets), {entries} map entries, \
             {threads} threads, {kib} KiB, {tcp_sockets} TCP sockets"
        )
    }
}

/// How often the threads of a process have gone to sleep and been woken since it started.
pub(super) fn wake_ups(process: u32) -> Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let status = match fs::read_to_string(task?.path().join("status")) {
            Ok(status) => status,
            Err(error) => match Errno::from_io_error(&error) {
                // It ended since it was listed, or since its file was opened.
                Some(Errno::NOENT | Errno::SRCH) => continue,
                _ => return Err(error.into()),
            },
        };
        sum += field(&status, "voluntary_ctxt_switches:")?;
    }
    Ok(sum)
}

/// How many sockets' cookies a map has as keys; none where its keys are something else.
fn entries(map: u64) -> Result<u64> {
    let data = MapData::from_id(u32::try_from(map)?).context("opening a map by its id")?;
    let map = Map::from_map_data(data)?;
    // A map that changes meanwhile may begin anew at each step.
    let count = if let Ok(sockets) = SockHash::<_, u64>::try_from(&map) {
        sockets.keys().take(MOST_ENTRIES).count()
    } else if let Ok(slots) = HashMap::<_, u64, u32>::try_from(&map) {
        slots.keys().take(MOST_ENTRIES).count()
    } else {
        0
    };
    Ok(count as u64)
}

fn status(process: u32, key: &str) -> Result<u64> {
    let path = format!("/proc/{process}/status");
    field(&fs::read_to_string(&path)?, key).with_context(|| path)
}

fn field(text: &str, key: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let value = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    value.with_context(|| format!("no number after `{key}`"))
}

fn tcp_sockets(process: u32) -> Result<u64> {
    let mut sum = 0;
    for (file, key) in [("sockstat", "TCP: inuse"), ("sockstat6", "TCP6: inuse")] {
        let path = format!("/proc/{process}/net/{file}");
        sum += field(&fs::read_to_string(&path)?, key).with_context(|| path)?;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_opens_a_pipe_holds_two_more_ends() {
        let process = std::process::id();
        // Other tests of this process open and close things meanwhile, so only the least is known.
        let pipe = std::io::pipe().unwrap();
        let held = Footprint::of(process).unwrap();
        assert!(held.pipes >= 2 && held.descriptors > held.pipes, "{held}");
        assert!(held.threads >= 1 && held.memory > 0, "{held}");
        assert!(wake_ups(process).is_ok());
        drop(pipe);
    }
}
