//! The time a whole command may take.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::failure::{Exit, Failure};

/// The moment by which a command must have ended, one way or the other.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    end: Instant,
    limit: Duration,
}

impl Deadline {
    /// `limit` from here on.
    pub fn after(limit: Duration) -> Self {
        Self {
            end: Instant::now() + limit,
            limit,
        }
    }

    /// The same end, or `limit` from here on if that is sooner.
    pub fn at_most(self, limit: Duration) -> Self {
        let sooner = Self::after(limit);
        if sooner.end < self.end { sooner } else { self }
    }

    /// What is left.
    pub fn left(self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// Waits for `work`, which is `doing` in the words of the failure.
    ///
    /// # Errors
    /// When time is up first.
    pub async fn bound<T>(
        self,
        doing: impl FnOnce() -> String,
        work: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        timeout_at(self.end, work).await.map_err(|_elapsed| {
            let limit = self.limit;
            let doing = doing();
            Failure::new(
                Exit::TimedOut,
                format!("{doing} took longer than {limit:?}; give it more by --timeout"),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_never_ends_fails_with_what_was_going_on() {
        let deadline = Deadline::after(Duration::from_secs(3));
        let waiting = deadline.bound(|| "the long wait".to_owned(), std::future::pending::<()>());
        let failure = waiting.await.unwrap_err();
        assert_eq!(failure.exit(), Exit::TimedOut);
        assert!(
            failure
                .to_string()
                .starts_with("the long wait took longer than 3s")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_sooner_end_counts() {
        let deadline = Deadline::after(Duration::from_secs(9));
        assert_eq!(deadline.at_most(Duration::from_secs(2)).left().as_secs(), 2);
        assert_eq!(
            deadline.at_most(Duration::from_secs(20)).left().as_secs(),
            9
        );
    }
}
