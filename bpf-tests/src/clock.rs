//! The monotonic clock as a number: one for all processes and namespaces of the host, so a moment
//! written into a message by one process is compared exactly by another.

use std::num::NonZeroU64;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::thread::{ClockId as SleepClock, clock_nanosleep_absolute, set_current_timer_slack};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Nanoseconds since the boot. Not `Instant`, whose value cannot be handed to another process.
pub fn now() -> u64 {
    // The monotonic clock counts from the boot: it is never negative.
    nanoseconds(Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default())
}

/// A time span in nanoseconds; more than 584 years count as 584 years.
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// From here on this thread's sleeps end as soon as they can; by default the kernel may add 50 µs
/// to each.
///
/// # Errors
/// What prctl(2) answers.
pub fn wake_on_time() -> Result<()> {
    set_current_timer_slack(NonZeroU64::new(1)).context("setting the timer slack")
}

/// Sleeps until [`now`] is `moment`; a moment that is over costs one system call.
///
/// # Errors
/// When the moment is beyond the clock.
pub fn sleep_until(moment: u64) -> Result<()> {
    let at = Timespec::try_from(Duration::from_nanos(moment));
    let at = at.context("a due time beyond the clock")?;
    loop {
        match clock_nanosleep_absolute(SleepClock::Monotonic, &at) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("sleeping until a moment"),
        }
    }
}
