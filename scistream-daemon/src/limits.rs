//! How many connections fit: the limit on open files is raised as far as it goes, and divided.

use std::fs;

use crate::sys::caps;
use crate::sys::rlimit::OpenFiles;

/// Connections at once that the gateway is built for.
pub const MOST_CONNECTIONS: u64 = 65_536;

/// Descriptors besides those of connections: listeners, epoll instances, maps, the log.
const RESERVED: u64 = 64;

/// Open files that [`MOST_CONNECTIONS`] want on the plane that takes most, splice with its pipes.
pub const WANTED_OPEN_FILES: u64 = MOST_CONNECTIONS * 3 + RESERVED;

/// What open files allow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ConnectionLimit {
    /// Connections accepted at once.
    pub connections: usize,
    /// Connections that are sure to find descriptors.
    pub fitting: usize,
}

/// Raises this process's limit on open files as far as it may.
pub fn raise_open_files() -> OpenFiles {
    OpenFiles::raise_towards(attainable_open_files())
}

/// The most the kernel lets any process have (`fs.nr_open`).
pub fn attainable_open_files() -> u64 {
    const KERNEL_DEFAULT: u64 = 1 << 20;
    fs::read_to_string("/proc/sys/fs/nr_open")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(KERNEL_DEFAULT)
}

/// How many pipes of `pages` pages each this process may hold without using up what its user may
/// have in pipes (`fs.pipe-user-pages-soft`): beyond that the kernel gives new pipes two pages each.
/// Half of it is left for pipes of the kernel's own size.
pub fn wide_pipes(pages: usize) -> usize {
    if caps::exempt_from_pipe_limits() {
        return usize::MAX;
    }
    fs::read_to_string("/proc/sys/fs/pipe-user-pages-soft")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .map_or(0, |soft| share_of_pipes(soft, pages))
}

/// `soft` is the limit in pages, 0 for none.
fn share_of_pipes(soft: usize, pages: usize) -> usize {
    match soft {
        0 => usize::MAX,
        _ => soft / 2 / pages.max(1),
    }
}

/// How many connections to take: what was asked for, else as many as fit.
pub fn connections(asked: Option<u32>, open_files: u64, descriptors_each: u64) -> ConnectionLimit {
    let fitting = (open_files.saturating_sub(RESERVED) / descriptors_each.max(1)).max(1);
    let connections = asked.map_or(fitting.min(MOST_CONNECTIONS), u64::from);
    let clamp = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    ConnectionLimit {
        connections: clamp(connections),
        fitting: clamp(fitting),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_those_asked_for_or_those_that_fit() {
        for (asked, open_files, each, connections_taken, fitting) in [
            (None, 1_048_576, 3, 65_536, 349_504),
            (None, 20_000, 3, 6_645, 6_645),
            (None, 1_024, 2, 480, 480),
            (Some(10), 1_024, 2, 10, 480),
            (Some(5_000), 1_024, 2, 5_000, 480),
            (None, 10, 2, 1, 1),
        ] {
            let limit = connections(asked, open_files, each);
            assert_eq!(
                limit,
                ConnectionLimit {
                    connections: connections_taken,
                    fitting
                },
                "{asked:?} {open_files} {each}"
            );
        }
    }

    #[test]
    fn wide_pipes_leave_half_of_the_pages_to_others() {
        assert_eq!(share_of_pipes(16_384, 256), 32);
        assert_eq!(share_of_pipes(100, 256), 0);
        assert_eq!(share_of_pipes(0, 256), usize::MAX);
    }

    #[test]
    fn the_kernels_ceiling_is_above_the_limit_in_force() {
        assert!(attainable_open_files() >= OpenFiles::current().soft);
    }
}
