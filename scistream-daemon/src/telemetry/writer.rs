//! The log's way to standard error: lines are queued in memory and written by one thread, in
//! batches. What does not fit in the queue is counted and reported, never waited for.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Bytes of log that may wait for a reader that is slow: some 20,000 lines.
const QUEUE_LIMIT: usize = 8 << 20;

/// How long a first line waits for others, so that a busy log costs a write and a wake-up per batch:
/// at 6,000 lines a second and 1 ms they were a fortieth of the gateway's CPU time.
const GATHER_INTERVAL: Duration = Duration::from_millis(10);

/// How long [`LogWriter::finish`] waits for the queue to be written.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);

/// Queues lines; clones share the queue.
#[derive(Clone, Debug)]
pub(super) struct LogWriter {
    queue: Arc<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<u8>,
    dropped: u64,
    writing: bool,
    finishing: bool,
}

impl State {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.dropped == 0
    }
}

impl LogWriter {
    /// Starts the thread that writes to `sink`.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn start(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let of_thread = Arc::clone(&queue);
        thread::Builder::new()
            .name("s2cs-log".to_owned())
            .spawn(move || of_thread.write_all_to(sink))?;
        Ok(Self { queue })
    }

    /// Waits until everything queued is written, or a stuck reader has had its second.
    pub(super) fn finish(&self) {
        let mut state = self.queue.lock();
        state.finishing = true;
        self.queue.changed.notify_all();
        let _written_or_late =
            self.queue
                .changed
                .wait_timeout_while(state, FINISH_TIMEOUT, |state| {
                    state.writing || !state.is_empty()
                });
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) {
        let was_empty = {
            let mut state = self.lock();
            let was_empty = state.is_empty();
            if state.lines.len() + line.len() > QUEUE_LIMIT {
                state.dropped += 1;
            } else {
                state.lines.extend_from_slice(line);
            }
            was_empty
        };
        if was_empty {
            self.changed.notify_all();
        }
    }

    fn write_all_to(&self, mut sink: impl Write) {
        let mut batch = Vec::new();
        loop {
            let dropped = self.take_batch(&mut batch);
            if dropped > 0 {
                batch.extend_from_slice(
                    format!("{{\"level\":\"WARN\",\"message\":\"log lines dropped\",\"lines\":{dropped}}}\n")
                        .as_bytes(),
                );
            }
            // A log that cannot be written has nowhere to say so.
            let _unwritable = sink.write_all(&batch);
            batch.clear();
            self.lock().writing = false;
            self.changed.notify_all();
        }
    }

    /// Waits for lines, and a moment longer for more, then swaps them into `batch`.
    fn take_batch(&self, batch: &mut Vec<u8>) -> u64 {
        let idle = |state: &mut State| state.is_empty();
        let state = self
            .changed
            .wait_while(self.lock(), idle)
            .unwrap_or_else(PoisonError::into_inner);
        let (mut state, _gathered) = self
            .changed
            .wait_timeout_while(state, GATHER_INTERVAL, |state| !state.finishing)
            .unwrap_or_else(PoisonError::into_inner);
        state.writing = true;
        std::mem::swap(&mut state.lines, batch);
        std::mem::take(&mut state.dropped)
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = QueuedLine<'a>;

    fn make_writer(&'a self) -> QueuedLine<'a> {
        QueuedLine { queue: &self.queue }
    }
}

/// Takes one formatted line.
pub(super) struct QueuedLine<'a> {
    queue: &'a Queue,
}

impl Write for QueuedLine<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.queue.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Hands on what is written, once the test lets it.
    struct Gated {
        open: Receiver<()>,
        out: Sender<Vec<u8>>,
    }

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _closed = self.open.recv();
            self.out.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated() -> (LogWriter, Sender<()>, Receiver<Vec<u8>>) {
        let (gate, open) = channel();
        let (out, written) = channel();
        (
            LogWriter::start(Gated { open, out }).unwrap(),
            gate,
            written,
        )
    }

    #[test]
    fn finish_returns_after_every_line_is_written_in_order() {
        let (writer, gate, written) = gated();
        drop(gate);
        for line in ["one\n", "two\n", "three\n"] {
            writer.make_writer().write_all(line.as_bytes()).unwrap();
        }
        writer.finish();
        let all: Vec<u8> = written.try_iter().flatten().collect();
        assert_eq!(String::from_utf8(all).unwrap(), "one\ntwo\nthree\n");
    }

    #[test]
    fn a_stuck_reader_costs_lines_and_never_time() {
        let (writer, gate, written) = gated();
        writer.make_writer().write_all(b"first\n").unwrap();
        let line = vec![b'x'; QUEUE_LIMIT / 4];
        for _ in 0..12 {
            writer.make_writer().write_all(&line).unwrap();
        }
        drop(gate);
        writer.finish();
        let all: Vec<u8> = written.try_iter().flatten().collect();
        assert!(all.len() < 12 * line.len());
        assert!(
            String::from_utf8(all)
                .unwrap()
                .contains("log lines dropped")
        );
    }
}
