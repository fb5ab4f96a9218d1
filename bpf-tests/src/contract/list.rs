//! The lists of cases. Each case becomes one `#[test]` under its own name.

/// Makes a `#[test]` of each case named, on the mount given. `needs` are the capabilities without
/// which the test does not run (see [`require!`](crate::require)).
#[macro_export]
macro_rules! contract_cases {
    ($mount:expr; needs $needs:expr; $($module:ident::$case:ident,)+) => {$(
        #[test]
        fn $case() -> $crate::contract::Outcome {
            for need in $needs {
                $crate::require!(need, Ok(()));
            }
            $crate::contract::check($mount?, $crate::contract::$module::$case)
        }
    )+};
}

/// The cases that hold on any ground, without privileges.
#[macro_export]
macro_rules! contract_anywhere {
    ($mount:expr; needs $needs:expr) => {
        $crate::contract_cases! { $mount; needs $needs;
            early::a_reset_before_the_upstream_connects_is_no_fin,
            early::bytes_before_the_upstream_connects_arrive,
            early::more_early_bytes_than_a_window_arrive,
            half_close::a_fin_as_the_first_thing_ends_one_direction_only,
            half_close::a_fin_does_not_disturb_the_other_directions_bulk,
            half_close::a_fin_waits_behind_twenty_megabytes_of_backlog,
            half_close::the_downstream_end_goes_on_after_the_upstream_end_finished,
            half_close::the_upstream_end_goes_on_after_the_downstream_end_finished,
            half_close::what_an_end_sent_before_it_closed_is_delivered,
            hand_over::bytes_around_the_hand_over_are_kept,
            hand_over::segments_around_the_hand_over_are_kept,
            lengths::a_connection_without_a_byte_finishes,
            lengths::an_urgent_byte_arrives_in_its_place,
            lengths::one_byte_arrives_each_way,
            lengths::one_kibibyte_arrives_each_way,
            lengths::sixteen_mebibytes_arrive_each_way,
            lengths::sixteen_mebibytes_arrive_each_way_over_ipv6,
            lengths::sixty_four_kibibytes_and_one_byte_arrive_each_way,
            many::twenty_thousand_short_connections_leave_nothing_behind,
            many::two_hundred_connections_at_once_are_kept_apart,
            memory::a_reader_that_stops_bounds_what_is_held_by_small_buffers,
            memory::a_reader_that_stops_for_three_seconds_bounds_what_is_held,
            messages::a_quiet_connection_wakes_nobody,
            messages::flows_that_change_at_random_lose_nothing,
            messages::messages_turn_bulk_stop_and_go_on,
            messages::the_tail_of_a_stream_does_not_wait_for_more,
            reset::a_reset_after_a_fin_reaches_the_writer,
            reset::a_reset_behind_a_backlog_reaches_a_reader_that_sleeps,
            reset::a_reset_by_the_end_that_received_the_fin_reaches_the_reader,
            reset::a_reset_of_a_quiet_connection_reaches_the_other_end,
            reset::a_reset_with_data_in_flight_reaches_the_reader,
            reset::a_reset_with_data_in_flight_reaches_the_writer,
            reset::bytes_delivered_before_a_reset_stay_readable,
            stalls::a_downstream_end_that_does_not_read_can_write,
            stalls::a_send_buffer_of_64_kilobytes_loses_nothing,
            stalls::a_zero_window_of_three_seconds_loses_nothing,
            stalls::an_upstream_end_that_does_not_read_can_write,
            stalls::both_ends_fill_every_buffer_before_they_read,
            stalls::sixty_millisecond_stalls_lose_nothing,
            stopping::a_killed_gateway_leaves_nobody_hanging,
            stopping::a_stream_finishes_while_the_gateway_drains,
            stopping::a_target_that_dies_mid_stream_resets_the_downstream_end,
            stopping::a_target_that_refuses_resets_the_downstream_end,
            stopping::only_an_idle_connection_times_out,
            stopping::what_does_not_finish_is_closed_when_the_drain_time_is_over,
        }
    };
}

/// The cases that want links of their own.
#[macro_export]
macro_rules! contract_routed {
    ($mount:expr; needs $needs:expr) => {
        $crate::contract_cases! { $mount; needs $needs;
            links::a_segment_that_repeats_bytes_delivers_only_the_new_ones,
            links::packets_of_1500_bytes_lose_nothing,
            links::packets_of_1500_bytes_without_offloads_lose_nothing,
            links::packets_of_9000_bytes_lose_nothing,
            links::packets_of_9000_bytes_without_offloads_lose_nothing,
        }
    };
}

/// The cases that only the sockmap plane can keep.
#[macro_export]
macro_rules! contract_sockmap {
    ($mount:expr; needs $needs:expr) => {
        $crate::contract_cases! { $mount; needs $needs;
            messages::messages_moved_by_the_kernel_wake_nobody,
        }
    };
}

/// The cases that take long.
#[macro_export]
macro_rules! contract_big {
    ($mount:expr; needs $needs:expr) => {
        $crate::contract_cases! { $mount; needs $needs;
            big::a_reader_that_stops_for_ten_seconds_bounds_what_is_held,
            big::a_zero_window_of_thirty_seconds_loses_nothing,
            big::two_gibibytes_arrive_each_way,
        }
    };
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    /// Every function of the case modules that has a case's signature is in one of the lists above.
    #[test]
    fn no_case_is_left_out_of_the_lists() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/contract");
        let lists = fs::read_to_string(source.join("list.rs")).unwrap();
        let listed: BTreeSet<&str> = lists
            .lines()
            .filter_map(|line| line.trim().strip_suffix(',')?.split_once("::"))
            .map(|(_module, case)| case)
            .collect();
        let mut cases = BTreeSet::new();
        for file in fs::read_dir(&source).unwrap() {
            let text = fs::read_to_string(file.unwrap().path()).unwrap();
            for line in text.lines() {
                let signature = line.strip_prefix("pub fn ");
                let name =
                    signature.and_then(|line| line.split_once("(mount: &Mount) -> Result<()>"));
                cases.extend(name.map(|(name, _)| name.to_owned()));
            }
        }
        assert!(cases.len() > 40, "found only {} cases", cases.len());
        let missing: Vec<_> = cases
            .iter()
            .filter(|case| !listed.contains(case.as_str()))
            .collect();
        assert!(
            missing.is_empty(),
            "these cases are run by nobody: {missing:?}"
        );
    }
}
