//! Several things at once: each on its own thread, all awaited, every failure reported.

use std::thread;

use anyhow::{Result, anyhow};

/// One of several things that happen at once.
pub type Task<'a> = Box<dyn FnOnce() -> Result<()> + Send + 'a>;

/// Runs all tasks at once and waits for all of them; fails with every failure if any failed.
pub fn together<'a>(tasks: impl IntoIterator<Item = Task<'a>>) -> Result<()> {
    let failures: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = tasks.into_iter().map(|task| scope.spawn(task)).collect();
        threads
            .into_iter()
            .filter_map(|thread| match thread.join() {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(format!("{error:#}")),
                Err(_panic) => Some("a task panicked; its message is above".to_owned()),
            })
            .collect()
    });
    if failures.is_empty() {
        return Ok(());
    }
    Err(anyhow!(failures.join("\n")))
}

/// Boxes closures and runs them [`together`](fn@crate::traffic::together).
#[macro_export]
macro_rules! together {
    ($($task:expr),+ $(,)?) => {
        $crate::traffic::together([$(Box::new($task) as $crate::traffic::Task<'_>),+])
    };
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    #[test]
    fn every_failure_is_reported() {
        let outcome = crate::together!(|| bail!("the first failed"), || Ok(()), || bail!(
            "the third failed"
        ));
        let message = format!("{:#}", outcome.expect_err("two failed"));
        assert_eq!(message, "the first failed\nthe third failed");
    }
}
