//! Which tests run in a guest: everything that this file does not leave out, each with its reason.
//!
//! A guest is emulated, about ten times slower than the host. What is left out there still runs on
//! the host's own kernel with every `cargo xtask test`, and the long ones in guests with `--all`.

use anyhow::{Result, bail};

use super::series::Series;

/// A test target and what of it runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    /// The target, as in `bpf-tests/tests/`.
    pub(super) target: &'static str,
    cases: Cases,
    /// How many cases run at the same time: some wait, but many at once take longer than in a row.
    pub(super) at_once: u8,
}

#[derive(Clone, Copy, Debug)]
enum Cases {
    All,
    AllBut(&'static [&'static str]),
    Only(&'static [&'static str]),
}

/// Cases of ten seconds and more in a guest.
const LONG: [&str; 4] = [
    "bytes_around_the_hand_over_are_kept",
    "flows_that_change_at_random_lose_nothing",
    "twenty_thousand_short_connections_leave_nothing_behind",
    "two_hundred_connections_at_once_are_kept_apart",
];

/// What the sockmap plane does not do on every commit: the long cases, those that user space
/// decides alone (accepting, dialling, draining, time-outs), and those whose like is there.
const ALIKE: [&str; 18] = [
    "a_connection_without_a_byte_finishes",
    "a_killed_gateway_leaves_nobody_hanging",
    "a_reader_that_stops_bounds_what_is_held_by_small_buffers",
    "a_reset_before_the_upstream_connects_is_no_fin",
    "a_stream_finishes_while_the_gateway_drains",
    "a_target_that_dies_mid_stream_resets_the_downstream_end",
    "a_target_that_refuses_resets_the_downstream_end",
    "bytes_around_the_hand_over_are_kept",
    "flows_that_change_at_random_lose_nothing",
    "one_byte_arrives_each_way",
    "one_kibibyte_arrives_each_way",
    "only_an_idle_connection_times_out",
    "packets_of_9000_bytes_without_offloads_lose_nothing",
    "sixteen_mebibytes_arrive_each_way",
    "sixty_four_kibibytes_and_one_byte_arrive_each_way",
    "twenty_thousand_short_connections_leave_nothing_behind",
    "two_hundred_connections_at_once_are_kept_apart",
    "what_does_not_finish_is_closed_when_the_drain_time_is_over",
];

/// Where `auto` does what neither plane does alone: it changes between them.
const CHANGES: [&str; 3] = [
    "a_reset_with_data_in_flight_reaches_the_reader",
    "messages_turn_bulk_stop_and_go_on",
    "sixteen_mebibytes_arrive_each_way_over_ipv6",
];

/// What of splice(2) has differed between kernels, or may: ends, full buffers, page fragments.
const SPLICED: [&str; 4] = [
    "a_fin_waits_behind_twenty_megabytes_of_backlog",
    "a_reset_with_data_in_flight_reaches_the_reader",
    "a_send_buffer_of_64_kilobytes_loses_nothing",
    "packets_of_9000_bytes_lose_nothing",
];

/// The copy plane asks nothing of a kernel that it could lack.
const COPIED: [&str; 1] = ["sixteen_mebibytes_arrive_each_way"];

/// Faults of a stand-in, which no kernel takes part in; what does is the naive verdict.
const KERNELS_FAULTS: [&str; 1] = ["the_naive_verdict_exceeds_the_bound_on_memory"];

/// Wants the sockmap plane.
const REDIRECTED: [&str; 1] = ["a_redirected_stream_that_loses_packets_gets_bbr"];

/// What runs on a kernel: the usual choice, or everything that means something there.
pub(super) fn of(series: Series, everything: bool) -> Vec<Share> {
    match (series.declines_sockmap(), everything) {
        (true, false) => vec![
            share("declined", Cases::All, 1),
            share("contract_splice", Cases::Only(&SPLICED), 2),
            share("contract_copy", Cases::Only(&COPIED), 1),
        ],
        (true, true) => vec![
            share("declined", Cases::All, 1),
            share("contract_splice", Cases::AllBut(&LONG), 2),
            share("contract_copy", Cases::AllBut(&LONG), 2),
            share("lab", Cases::All, 2),
            share("lossy_path", Cases::AllBut(&REDIRECTED), 2),
        ],
        (false, false) => vec![
            share("contract_sockmap", Cases::AllBut(&ALIKE), 2),
            share("contract_auto", Cases::Only(&CHANGES), 2),
            share("contract_splice", Cases::Only(&SPLICED), 2),
            share("contract_copy", Cases::Only(&COPIED), 1),
            share("local_apps", Cases::All, 2),
        ],
        (false, true) => vec![
            share("contract_sockmap", Cases::All, 2),
            share("contract_auto", Cases::All, 2),
            share("contract_splice", Cases::All, 2),
            share("contract_copy", Cases::All, 2),
            share("contract_big", Cases::All, 12),
            share("contract_can_fail", Cases::Only(&KERNELS_FAULTS), 1),
            share("lab", Cases::All, 2),
            share("load", Cases::All, 2),
            share("lossy_path", Cases::All, 2),
            share("missing_btf", Cases::All, 1),
            share("local_apps", Cases::All, 2),
            share("self_test", Cases::All, 1),
        ],
    }
}

/// The targets that these kernels need, each once.
pub(super) fn targets(kernels: &[Series], everything: bool) -> Vec<&'static str> {
    let shares = kernels.iter().flat_map(|&series| of(series, everything));
    let mut targets: Vec<_> = shares.map(|share| share.target).collect();
    targets.sort_unstable();
    targets.dedup();
    targets
}

const fn share(target: &'static str, cases: Cases, at_once: u8) -> Share {
    Share {
        target,
        cases,
        at_once,
    }
}

impl Share {
    /// The cases that run, of all that the target has. A name here that the target does not know
    /// is an error: a case that was renamed would silently leave the choice.
    pub(super) fn choose(&self, listed: &[String]) -> Result<Vec<String>> {
        let named: &[&str] = match self.cases {
            Cases::All => &[],
            Cases::AllBut(names) | Cases::Only(names) => names,
        };
        let unknown = named
            .iter()
            .find(|name| !listed.iter().any(|case| case == *name));
        if let Some(name) = unknown {
            bail!(
                "{} has no case `{name}`; mend xtask/src/vm/selection.rs",
                self.target
            );
        }
        let is_named = |case: &String| named.contains(&case.as_str());
        let runs = |case: &&String| match self.cases {
            Cases::All => true,
            Cases::AllBut(_) => !is_named(case),
            Cases::Only(_) => is_named(case),
        };
        Ok(listed.iter().filter(runs).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Targets that no guest runs, and why.
    const HOST_ONLY: [(&str, &str); 7] = [
        (
            "generator",
            "the lab's own instrument: no part of the gateway, no call that kernels differ in",
        ),
        (
            "real_applications",
            "starts programs of Python and Node, which a guest does not have",
        ),
        (
            "real_issuer",
            "starts programs of Python, which a guest does not have",
        ),
        (
            "real_peers",
            "starts programs of Python and ssh, which a guest does not have",
        ),
        (
            "real_sessions",
            "starts programs of Python, which a guest does not have",
        ),
        (
            "session_caps",
            "starts s2uc beside s2cs, which the image does not carry",
        ),
        (
            "wan",
            "holds the emulated line to times and rates, which an emulated machine does not keep",
        ),
    ];

    fn listed() -> Vec<String> {
        ["one", "two", "three"].map(str::to_owned).to_vec()
    }

    #[test]
    fn a_share_is_all_or_all_but_some_or_some() {
        let chosen = |cases| share("x", cases, 1).choose(&listed()).unwrap();
        assert_eq!(chosen(Cases::All), ["one", "two", "three"]);
        assert_eq!(chosen(Cases::AllBut(&["two"])), ["one", "three"]);
        assert_eq!(chosen(Cases::Only(&["three"])), ["three"]);
    }

    #[test]
    fn a_name_that_no_case_has_is_an_error() {
        for cases in [Cases::AllBut(&["four"]), Cases::Only(&["four"])] {
            let error = share("x", cases, 1).choose(&listed()).unwrap_err();
            assert!(error.to_string().contains("x has no case `four`"));
        }
    }

    #[test]
    fn every_target_runs_in_a_guest_or_has_a_reason_not_to() {
        let folder = crate::workspace::root().join("bpf-tests/tests");
        let files = std::fs::read_dir(folder).unwrap();
        let mut there: Vec<String> = files
            .filter_map(|file| {
                let name = file.unwrap().file_name().into_string().unwrap();
                name.strip_suffix(".rs").map(str::to_owned)
            })
            .collect();
        there.sort();
        let mut known = targets(&Series::ALL, true);
        known.extend(HOST_ONLY.map(|(target, _)| target));
        known.sort_unstable();
        assert_eq!(there, known);
    }

    #[test]
    fn every_kernel_has_its_own_test_of_the_plane_it_may_lack() {
        for series in Series::ALL {
            for everything in [false, true] {
                let shares = of(series, everything);
                let has = |target| shares.iter().any(|share| share.target == target);
                assert_eq!(has("declined"), series.declines_sockmap());
                assert_eq!(has("contract_sockmap"), !series.declines_sockmap());
            }
        }
    }
}
