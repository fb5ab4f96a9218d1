//! A child process with its output captured, ended and reaped by its guard.
//!
//! ```text
//!   spawn ──► running ──► Drop, kill   SIGKILL, reaped
//!                    ├──► terminate    SIGTERM, reaped, or an error at the deadline
//!                    └──► (our end)    SIGKILL by PDEATHSIG, whatever ended us
//! ```

use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::{command, sys};

mod output;
mod spawner;

pub use output::Output;

/// A running child.
#[derive(Debug)]
pub struct Process {
    child: Child,
    descriptor: OwnedFd,
    line: String,
    output: Arc<Output>,
}

impl Process {
    /// Starts `command` with stdin closed, stdout and stderr captured line by line.
    ///
    /// # Errors
    /// When it cannot be started; the error has the command line.
    pub fn spawn(mut command: Command) -> Result<Self> {
        let line = command::line(&command);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        sys::die_with_spawner(&mut command);
        let mut child = spawner::spawn(command)
            .with_context(|| format!("cannot start `{line}`; is it installed?"))?;
        let output = Output::capture(child.stdout.take(), child.stderr.take())?;
        let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let id = id.context("the kernel gave a process id out of range")?;
        let descriptor = rustix::process::pidfd_open(id, PidfdFlags::empty())
            .with_context(|| format!("cannot watch `{line}`: pidfd_open"))?;
        Ok(Self {
            child,
            descriptor,
            line,
            output,
        })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The command line, as a person would type it.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// What it has written, to stdout and stderr, line by line.
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// Waits until a line, written already or yet to come, gives `Some`.
    ///
    /// # Errors
    /// At the deadline, or when the process has ended without such a line; the error has the
    /// last lines.
    pub fn wait_for_line<T>(
        &self,
        deadline: Duration,
        pick: impl FnMut(&str) -> Option<T>,
    ) -> Result<T> {
        self.wait_for_line_from(0, deadline, pick)
    }

    /// As [`Process::wait_for_line`], of the `from`th line (see [`Output::lines_from`]) and later.
    ///
    /// # Errors
    /// As [`Process::wait_for_line`].
    pub fn wait_for_line_from<T>(
        &self,
        from: usize,
        deadline: Duration,
        pick: impl FnMut(&str) -> Option<T>,
    ) -> Result<T> {
        if let Some(found) = self.output.wait_for_line(from, deadline, pick) {
            return Ok(found);
        }
        let how = if self.output.is_closed() {
            "ended without the awaited line".to_owned()
        } else {
            format!("did not write the awaited line within {deadline:?}")
        };
        let tail = self.output.tail();
        bail!("`{}` {how}; its last lines:\n{tail}", self.line)
    }

    /// Sends SIGTERM and waits for the end.
    ///
    /// # Errors
    /// When it has not ended at the deadline.
    pub fn terminate(&mut self, deadline: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait(deadline)
    }

    /// Sends a signal; to a child that has ended but was not waited for it does nothing.
    ///
    /// # Errors
    /// When the child has been waited for and is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        rustix::process::pidfd_send_signal(&self.descriptor, signal)
            .with_context(|| format!("cannot send {signal:?} to `{}`", self.line))
    }

    /// Sends SIGKILL and reaps.
    ///
    /// # Errors
    /// What wait(2) answers.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.child.kill()?;
        Ok(self.child.wait()?)
    }

    /// Waits for the end and for the last line of output.
    ///
    /// # Errors
    /// When it has not ended at the deadline; the error has the last lines.
    pub fn wait(&mut self, deadline: Duration) -> Result<ExitStatus> {
        if !self.ends_within(deadline)? {
            let tail = self.output.tail();
            bail!(
                "`{}` had not ended after {deadline:?}; its last lines:\n{tail}",
                self.line
            );
        }
        let status = self.child.wait()?;
        self.output.wait_until_closed(deadline);
        Ok(status)
    }

    /// Whether it ends within this time; waits for that long at most, and does not reap.
    ///
    /// # Errors
    /// What poll(2) answers.
    pub fn ends_within(&self, patience: Duration) -> Result<bool> {
        let mut ended = [PollFd::new(&self.descriptor, PollFlags::IN)];
        let limit = Timespec::try_from(patience).context("the time to wait is out of range")?;
        let ready = rustix::io::retry_on_intr(|| rustix::event::poll(&mut ended, Some(&limit)))?;
        Ok(ready > 0)
    }

    /// As [`Process::wait`], and an end other than success is an error with the last lines.
    ///
    /// # Errors
    /// As [`Process::wait`]; when it failed.
    pub fn wait_for_success(&mut self, deadline: Duration) -> Result<()> {
        let status = self.wait(deadline)?;
        if status.success() {
            return Ok(());
        }
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => status.to_string(),
        };
        bail!("`{}` failed ({how}): {}", self.line, self.output.tail());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Neither fails for a child that has been reaped, and there is nobody to tell.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
