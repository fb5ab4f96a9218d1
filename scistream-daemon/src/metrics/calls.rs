//! How control calls end, counted. A caller chooses neither methods nor codes here: what is none of
//! ours is counted as `other`.

use std::sync::atomic::{AtomicU64, Ordering};

/// The methods that are counted by name; the last stands for all others.
pub(super) const METHODS: [&str; 12] = [
    "scistream.Control/hello",
    "scistream.Control/release",
    "scistream.Control/req",
    "scistream.Control/update",
    "scistream.v1.Gateway/CreateSession",
    "scistream.v1.Gateway/Drain",
    "scistream.v1.Gateway/GetSession",
    "scistream.v1.Gateway/ListSessions",
    "scistream.v1.Gateway/ReleaseSession",
    "scistream.v1.Gateway/UpdateTargets",
    "scistream.v1.Gateway/WatchEvents",
    "other",
];

/// gRPC's codes by their names; the last stands for all others.
pub(super) const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
    "UNKNOWN",
];

/// Why somebody was turned away before the call was read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AuthFailure {
    /// The token is no good.
    Invalid,
    /// There is no token.
    Missing,
    /// The issuer could not be asked.
    Unavailable,
}

impl AuthFailure {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Invalid, Self::Missing, Self::Unavailable];

    /// The name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Missing => "missing",
            Self::Unavailable => "unavailable",
        }
    }
}

/// The counts.
#[derive(Debug, Default)]
pub struct CallCounts {
    calls: [[AtomicU64; CODES.len()]; METHODS.len()],
    failures: [AtomicU64; AuthFailure::ALL.len()],
}

impl CallCounts {
    /// A call of `method` ended with `code`.
    pub fn count(&self, method: &str, code: &str) {
        let row = self.calls.get(position(&METHODS, method));
        if let Some(cell) = row.and_then(|row| row.get(position(&CODES, code))) {
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Somebody was turned away.
    pub fn count_failure(&self, failure: AuthFailure) {
        let all = AuthFailure::ALL.into_iter().zip(&self.failures);
        for (_, cell) in all.filter(|(other, _)| *other == failure) {
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Every method with every code, and how often.
    pub(super) fn calls(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        METHODS.iter().zip(&self.calls).flat_map(|(method, row)| {
            let cells = CODES.iter().zip(row);
            cells.map(|(code, cell)| (*method, *code, cell.load(Ordering::Relaxed)))
        })
    }

    /// Every reason, and how often.
    pub(super) fn failures(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let all = AuthFailure::ALL.iter().zip(&self.failures);
        all.map(|(failure, cell)| (failure.as_str(), cell.load(Ordering::Relaxed)))
    }
}

/// Where a name stands; the last place for one that does not.
fn position(names: &[&str], name: &str) -> usize {
    let found = names.iter().position(|known| *known == name);
    found.unwrap_or(names.len().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_callers_make_up_is_counted_as_other() {
        let counts = CallCounts::default();
        for method in [
            "scistream.Control/req",
            "scistream.Control/req",
            "scistream.Control/x\"}\n",
            "",
        ] {
            counts.count(method, "OK");
        }
        counts.count("scistream.Control/req", "SOMETHING");
        let some: Vec<_> = counts.calls().filter(|(_, _, count)| *count > 0).collect();
        let expected = [
            ("scistream.Control/req", "OK", 2),
            ("scistream.Control/req", "UNKNOWN", 1),
            ("other", "OK", 2),
        ];
        assert_eq!(some, expected);
    }
}
