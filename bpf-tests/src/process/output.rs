//! What a child writes, line by line, kept for whoever asks.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, Read};
use std::process::{ChildStderr, ChildStdout};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Lines kept; the oldest go first. A closed connection is one line, and tests make 20,000.
const LINES_KEPT: usize = 262_144;
/// Lines quoted in an error.
const TAIL_LINES: usize = 12;

/// The lines of a child's stdout and stderr in the order they were read.
#[derive(Debug, Default)]
pub struct Output {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<String>,
    /// How many older lines are gone.
    forgotten: usize,
    /// Streams that have not ended.
    open: usize,
}

impl Output {
    pub(super) fn capture(
        stdout: Option<ChildStdout>,
        stderr: Option<ChildStderr>,
    ) -> io::Result<Arc<Self>> {
        let output = Arc::new(Self::default());
        if let Some(stream) = stdout {
            Self::follow(&output, stream)?;
        }
        if let Some(stream) = stderr {
            Self::follow(&output, stream)?;
        }
        Ok(output)
    }

    fn follow(output: &Arc<Self>, stream: impl Read + Send + 'static) -> io::Result<()> {
        output.lock().open += 1;
        let output = Arc::clone(output);
        let read = move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            // A read error ends the stream as its end does: the child is going away.
            while reader
                .read_until(b'\n', &mut line)
                .is_ok_and(|count| count > 0)
            {
                output.push(String::from_utf8_lossy(&line).trim_end().to_owned());
                line.clear();
            }
            output.lock().open -= 1;
            output.changed.notify_all();
        };
        std::thread::Builder::new()
            .name("lab-output".to_owned())
            .spawn(read)?;
        Ok(())
    }

    fn push(&self, line: String) {
        let mut state = self.lock();
        if state.lines.len() == LINES_KEPT {
            state.lines.pop_front();
            state.forgotten += 1;
        }
        state.lines.push_back(line);
        drop(state);
        self.changed.notify_all();
    }

    /// The lines from the `from`th on (counted from the first ever written), and the number to
    /// continue from.
    pub fn lines_from(&self, from: usize) -> (Vec<String>, usize) {
        let state = self.lock();
        let skip = from.saturating_sub(state.forgotten);
        let lines = state.lines.iter().skip(skip).cloned().collect();
        (lines, state.forgotten + state.lines.len())
    }

    /// All lines kept, joined.
    pub fn text(&self) -> String {
        self.lines_from(0).0.join("\n")
    }

    /// The last lines, for an error.
    pub fn tail(&self) -> String {
        let state = self.lock();
        let skip = state.lines.len().saturating_sub(TAIL_LINES);
        let lines: Vec<_> = state.lines.iter().skip(skip).map(String::as_str).collect();
        lines.join("\n")
    }

    /// Waits until there are more than `count` lines; false at the deadline and after the end.
    pub fn wait_beyond(&self, count: usize, deadline: Duration) -> bool {
        self.wait_until(deadline, |state| {
            let written = state.forgotten + state.lines.len();
            (written > count || state.open == 0).then_some(written > count)
        })
        .unwrap_or(false)
    }

    pub(super) fn wait_for_line<T>(
        &self,
        from: usize,
        deadline: Duration,
        mut pick: impl FnMut(&str) -> Option<T>,
    ) -> Option<T> {
        let mut seen = from;
        self.wait_until(deadline, |state| {
            let skip = seen.saturating_sub(state.forgotten);
            let found = state.lines.iter().skip(skip).find_map(|line| pick(line));
            seen = state.forgotten + state.lines.len();
            (found.is_some() || state.open == 0).then_some(found)
        })
        .flatten()
    }

    /// Whether nothing more will be written.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().open == 0
    }

    pub(super) fn wait_until_closed(&self, deadline: Duration) {
        self.wait_until(deadline, |state| (state.open == 0).then_some(()));
    }

    fn wait_until<T>(
        &self,
        deadline: Duration,
        mut check: impl FnMut(&State) -> Option<T>,
    ) -> Option<T> {
        let end = Instant::now() + deadline;
        let mut state = self.lock();
        loop {
            if let Some(answer) = check(&state) {
                return Some(answer);
            }
            let left = end.checked_duration_since(Instant::now())?;
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
