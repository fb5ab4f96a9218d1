//! The contract's checks can fail: a stand-in with a known fault is held to the same cases, and
//! each fault is found by the case that is there for it, for the reason it should be.

use std::sync::mpsc;
use std::time::Duration;

use bpf_tests::capability::Capability;
use bpf_tests::contract::{self, Case, Fault, Ground, Mount, Side, half_close, lengths, memory};
use bpf_tests::contract::{reset, stalls};
use bpf_tests::require;

/// Runs a case against a fault and gives the words of its failure, none if it passes.
fn failure(fault: Fault, case: Case) -> String {
    let outcome =
        Mount::faulty(Ground::Loopback, fault).and_then(|mount| contract::check(mount, case));
    outcome.map_or_else(|error| format!("{error:#}"), |()| String::new())
}

fn found(fault: Fault, case: Case, words: &str) {
    let failure = failure(fault, case);
    assert!(
        failure.contains(words),
        "{fault:?} should fail with `{words}`, got: `{failure}`"
    );
}

#[test]
fn a_relay_without_a_fault_passes() {
    for case in [
        lengths::sixty_four_kibibytes_and_one_byte_arrive_each_way as Case,
        lengths::sixteen_mebibytes_arrive_each_way,
        half_close::the_upstream_end_goes_on_after_the_downstream_end_finished,
        half_close::a_fin_waits_behind_twenty_megabytes_of_backlog,
        reset::a_reset_with_data_in_flight_reaches_the_reader,
        reset::a_reset_with_data_in_flight_reaches_the_writer,
        reset::a_reset_of_a_quiet_connection_reaches_the_other_end,
        memory::a_reader_that_stops_for_three_seconds_bounds_what_is_held,
        stalls::a_downstream_end_that_does_not_read_can_write,
    ] {
        assert_eq!(failure(Fault::None, case), "");
    }
}

#[test]
fn a_changed_byte_is_found() {
    let case = lengths::sixty_four_kibibytes_and_one_byte_arrive_each_way;
    found(Fault::CorruptsAByte, case, "wrong bytes");
}

#[test]
fn lost_bytes_are_found() {
    let case = lengths::sixty_four_kibibytes_and_one_byte_arrive_each_way;
    found(Fault::LosesBytes, case, "1 bytes were lost");
}

#[test]
fn duplicated_bytes_are_found() {
    let case = lengths::sixteen_mebibytes_arrive_each_way;
    found(Fault::DuplicatesBytes, case, "were duplicated");
}

#[test]
fn bytes_out_of_order_are_found() {
    let case = lengths::sixteen_mebibytes_arrive_each_way;
    found(Fault::ReordersBytes, case, "were lost or are late");
}

#[test]
fn a_tail_lost_at_the_fin_is_found() {
    let case = half_close::a_fin_waits_behind_twenty_megabytes_of_backlog;
    found(Fault::LosesTheTail, case, "a FIN came at byte");
}

#[test]
fn a_fin_that_is_not_passed_on_is_found() {
    let case = lengths::one_byte_arrives_each_way;
    found(Fault::SwallowsTheFin, case, "receiving is stuck at byte 1");
}

#[test]
fn a_fin_that_ends_both_directions_is_found() {
    let case = half_close::the_upstream_end_goes_on_after_the_downstream_end_finished;
    assert_ne!(failure(Fault::FinishesBothWays, case), "");
}

#[test]
fn a_reset_passed_on_as_a_fin_is_found() {
    let case = reset::a_reset_of_a_quiet_connection_reaches_the_other_end;
    found(
        Fault::FinishesInsteadOfReset,
        case,
        "saw a FIN at byte 5000 instead of an RST",
    );
}

#[test]
fn unbounded_memory_is_found() {
    let case = memory::a_reader_that_stops_for_three_seconds_bounds_what_is_held;
    found(
        Fault::HoldsWithoutBound,
        case,
        "bytes that it had not delivered",
    );
}

#[test]
fn the_naive_verdict_exceeds_the_bound_on_memory() -> contract::Outcome {
    require!(Capability::Netns, Ok(()));
    require!(Capability::Bpf, Ok(()));
    let mount = Mount::faulty(Ground::Routed, Fault::RedirectsWithoutLooking)?;
    let bound = memory::bound()?;
    let held = memory::most_held_on(&mount, Side::Downstream, Duration::from_secs(3))?;
    println!("the naive verdict held {held} bytes where {bound} are allowed");
    assert!(
        held > bound,
        "the naive verdict held {held} bytes only; {bound} are allowed"
    );
    Ok(())
}

#[test]
fn a_ledger_that_does_not_balance_is_found() {
    let case = lengths::one_kibibyte_arrives_each_way;
    found(Fault::CountsWrong, case, "1025 were accepted");
}

#[test]
fn a_case_that_hangs_is_freed_and_says_what_it_waited_for() -> contract::Outcome {
    let mount = Mount::faulty(Ground::Loopback, Fault::None)?;
    let outcome = contract::check(mount.with_deadline(Duration::from_millis(300)), |mount| {
        let (free, freed) = mpsc::channel();
        mount
            .watch()
            .on_timeout(move || free.send(()).unwrap_or_default());
        let waiting = mount.watch().waiting("a gateway that never comes");
        waiting.at(7);
        freed.recv()?;
        Ok(())
    });
    let words = outcome.map_or_else(|error| format!("{error:#}"), |()| String::new());
    assert!(
        words.contains("a gateway that never comes (at 7,"),
        "{words}"
    );
    assert!(words.contains("it then ended well"), "{words}");
    Ok(())
}
