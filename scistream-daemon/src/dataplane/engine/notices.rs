//! The thread that reads the programs' notices and forwards each to the worker that owns the slot.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use super::super::sockmap::Program;
use super::worker::{Command, Mailbox};

/// The running thread; dropping it ends the thread.
pub(super) struct NoticeThread {
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl NoticeThread {
    pub(super) fn start(program: Arc<Program>, workers: Vec<Mailbox>) -> io::Result<Self> {
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("s2cs-notices".into())
            .spawn(move || forward(&program, &workers, &stopped))?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for NoticeThread {
    fn drop(&mut self) {
        let _written = rustix::io::write(&*self.stop, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

fn forward(program: &Program, workers: &[Mailbox], stop: &OwnedFd) {
    let notices = program.notices();
    let mut lost = program.lost_notices();
    while wait(&notices, stop) {
        program.drain_notices(|notice| {
            // The worker that does not own the slot ignores it; passes are rare, tables cost more.
            for worker in workers {
                worker.send(Command::Passed(notice));
            }
        });
        let now_lost = program.lost_notices();
        if now_lost != lost {
            lost = now_lost;
            for worker in workers {
                worker.send(Command::NoticesLost);
            }
        }
    }
}

/// Sleeps until notices are pending; false when the thread shall end.
fn wait(notices: &BorrowedFd<'_>, stop: &OwnedFd) -> bool {
    let mut fds = [
        PollFd::new(notices, PollFlags::IN),
        PollFd::new(stop, PollFlags::IN),
    ];
    match poll(&mut fds, None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => fds[1].revents().is_empty(),
        Err(_) => false,
    }
}
