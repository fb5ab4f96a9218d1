//! A worker: one thread, one epoll instance, the connections it owns.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use scistream_common::Notice;

use super::super::behaviour::Rule;
use super::super::live::RelayOrder;
use super::super::sockmap::Program;
use super::super::{EndReason, StreamPair, Totals, Transferred};
use super::connection::{Connection, Next};
use super::flow::BufferPool;
use super::pipes::PipePool;
use super::timers::Timers;

/// Epoll data of the mailbox; connections' tokens are even numbers shifted left, plus the side.
const MAILBOX: u64 = u64::MAX;
/// Events taken at once.
const EVENTS: usize = 256;

/// Called once, with the report of a connection.
pub(super) type Ended = Box<dyn FnOnce(Transferred) + Send>;

/// What others ask of a worker.
pub(super) enum Command {
    /// Own this connection from now on.
    Join {
        /// Its sockets.
        pair: StreamPair,
        /// Its limits, and where it shows what it does.
        order: RelayOrder,
        /// Where the report goes.
        ended: Ended,
    },
    /// The verdict passed bytes of a slot, perhaps one of this worker's.
    Passed(Notice),
    /// Notices were lost: look at every connection.
    NoticesLost,
    /// Reset the connections that were aborted.
    EndAborted,
    /// End the thread.
    Stop,
}

/// Where commands go.
#[derive(Clone)]
pub(super) struct Mailbox(Arc<MailboxInner>);

struct MailboxInner {
    commands: Mutex<Vec<Command>>,
    wake: OwnedFd,
}

impl Mailbox {
    fn new() -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self(Arc::new(MailboxInner {
            commands: Mutex::new(Vec::new()),
            wake,
        })))
    }

    pub(super) fn send(&self, command: Command) {
        let first = {
            let mut commands = self
                .0
                .commands
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            commands.push(command);
            commands.len() == 1
        };
        if first {
            // Fails only when the counter is full, and then the worker is awake.
            let _written = rustix::io::write(&self.0.wake, &1_u64.to_ne_bytes());
        }
    }

    fn take(&self) -> Vec<Command> {
        let mut counter = [0; 8];
        let _empty = rustix::io::read(&self.0.wake, &mut counter);
        std::mem::take(
            &mut *self
                .0
                .commands
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

/// Bytes that this worker moved in user space's system calls.
#[derive(Debug, Default)]
pub(super) struct Counters {
    spliced: AtomicU64,
    copied: AtomicU64,
}

impl Counters {
    pub(super) fn add(&self, spliced: u64, copied: u64) {
        for (counter, bytes) in [(&self.spliced, spliced), (&self.copied, copied)] {
            if bytes > 0 {
                counter.fetch_add(bytes, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn add_to(&self, totals: &mut Totals) {
        totals.spliced += self.spliced.load(Ordering::Relaxed);
        totals.copied += self.copied.load(Ordering::Relaxed);
    }
}

/// A running worker; dropping it resets its connections and ends the thread.
pub(super) struct WorkerHandle {
    mailbox: Mailbox,
    counters: Arc<Counters>,
    thread: Option<JoinHandle<()>>,
}

impl WorkerHandle {
    pub(super) fn start(
        index: usize,
        rule: Rule,
        program: Option<Arc<Program>>,
        wide_pipes: usize,
    ) -> io::Result<Self> {
        let mailbox = Mailbox::new()?;
        let counters = Arc::new(Counters::default());
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(
            &epoll,
            &mailbox.0.wake,
            EventData::new_u64(MAILBOX),
            EventFlags::IN,
        )?;
        let shared = Shared {
            now: Instant::now(),
            epoll,
            rule,
            program,
            counters: Arc::clone(&counters),
            pipes: PipePool::new(wide_pipes),
            buffers: BufferPool::default(),
            timers: Timers::default(),
            by_slot: HashMap::new(),
        };
        let worker = Worker {
            shared,
            mailbox: mailbox.clone(),
            connections: HashMap::new(),
            next_token: 0,
            ready: Vec::new(),
        };
        let thread = std::thread::Builder::new()
            .name(format!("s2cs-plane-{index}"))
            .spawn(move || worker.run())?;
        Ok(Self {
            mailbox,
            counters,
            thread: Some(thread),
        })
    }

    pub(super) fn mailbox(&self) -> Mailbox {
        self.mailbox.clone()
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }
}

impl Drop for WorkerHandle {
    fn drop(&mut self) {
        self.mailbox.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

/// What a worker's connections share.
pub(super) struct Shared {
    /// When this round of the loop began.
    pub(super) now: Instant,
    pub(super) epoll: OwnedFd,
    pub(super) rule: Rule,
    pub(super) program: Option<Arc<Program>>,
    pub(super) counters: Arc<Counters>,
    pub(super) pipes: PipePool,
    pub(super) buffers: BufferPool,
    pub(super) timers: Timers,
    /// Token and side of the flow that has a slot.
    pub(super) by_slot: HashMap<u32, u64>,
}

struct Worker {
    shared: Shared,
    mailbox: Mailbox,
    /// By token with the side's bit cleared. Boxed, so that a table that has grown leaves little
    /// behind: a third of an idle connection's memory was the tables before.
    connections: HashMap<u64, Box<Connection>>,
    next_token: u64,
    /// Connections to drive in this round.
    ready: Vec<u64>,
}

impl Worker {
    fn run(mut self) {
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            let timeout = self.timeout();
            events.clear();
            let spare = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.shared.epoll, spare, timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => {
                    tracing::error!(error = %errno, "epoll_wait failed; this data-plane thread ends");
                    return self.abort_all();
                }
            }
            let now = Instant::now();
            self.shared.now = now;
            if self.on_events(&events) {
                return self.abort_all();
            }
            while let Some((at, token)) = self.shared.timers.expired(now) {
                if self
                    .connections
                    .get(&token)
                    .is_some_and(|connection| connection.is_due(at))
                {
                    self.schedule(token);
                }
            }
            for token in std::mem::take(&mut self.ready) {
                self.drive(token, now);
            }
        }
    }

    fn timeout(&self) -> Option<Timespec> {
        if !self.ready.is_empty() {
            return Some(Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            });
        }
        let left = self.shared.timers.next(Instant::now())?;
        Some(Timespec {
            tv_sec: left.as_secs() as i64,
            tv_nsec: i64::from(left.subsec_nanos()),
        })
    }

    /// Takes over what epoll said; true when the thread shall end.
    fn on_events(&mut self, events: &[Event]) -> bool {
        let mut mail = false;
        for event in events {
            let data = event.data.u64();
            if data == MAILBOX {
                mail = true;
                continue;
            }
            let token = data & !1;
            if let Some(connection) = self.connections.get_mut(&token) {
                connection.on_event((data & 1) as usize, event.flags);
                self.schedule(token);
            }
        }
        mail && self
            .mailbox
            .take()
            .into_iter()
            .any(|command| self.on_command(command))
    }

    /// Carries out a command; true when the thread shall end.
    fn on_command(&mut self, command: Command) -> bool {
        match command {
            Command::Join { pair, order, ended } => self.join(pair, order, ended),
            Command::Passed(notice) => self.on_passed(notice),
            Command::NoticesLost => {
                let tokens: Vec<u64> = self.connections.keys().copied().collect();
                for token in tokens {
                    self.passed(token, 0);
                    self.passed(token, 1);
                }
            }
            Command::EndAborted => self.end_aborted(),
            Command::Stop => return true,
        }
        false
    }

    fn join(&mut self, pair: StreamPair, order: RelayOrder, ended: Ended) {
        let token = self.next_token;
        self.next_token += 2;
        match Connection::new(token, pair, order, ended, &self.shared) {
            Ok(connection) if connection.is_aborted() => {
                connection.end(EndReason::DrainTimeout, &mut self.shared);
            }
            Ok(connection) => {
                self.connections.insert(token, Box::new(connection));
                self.schedule(token);
            }
            Err(error) => tracing::error!(%error, "cannot take a connection over"),
        }
    }

    fn on_passed(&mut self, notice: Notice) {
        let Some(&data) = self.shared.by_slot.get(&notice.slot()) else {
            return;
        };
        let (token, side) = (data & !1, (data & 1) as usize);
        let slot = self
            .connections
            .get(&token)
            .and_then(|connection| connection.slot(side));
        if slot == Some((notice.slot(), notice.generation())) {
            self.passed(token, side);
        }
    }

    fn passed(&mut self, token: u64, side: usize) {
        if let Some(connection) = self.connections.get_mut(&token) {
            connection.on_passed(side, self.shared.now);
            self.schedule(token);
        }
    }

    fn schedule(&mut self, token: u64) {
        if let Some(connection) = self.connections.get_mut(&token)
            && !connection.scheduled
        {
            connection.scheduled = true;
            self.ready.push(token);
        }
    }

    fn drive(&mut self, token: u64, now: Instant) {
        let Some(connection) = self.connections.get_mut(&token) else {
            return;
        };
        connection.scheduled = false;
        match connection.drive(&mut self.shared, now) {
            Next::Again => self.schedule(token),
            Next::Wait => {}
            Next::End(reason) => {
                if let Some(connection) = self.connections.remove(&token) {
                    connection.end(reason, &mut self.shared);
                }
            }
        }
    }

    fn end_aborted(&mut self) {
        let aborted = |_: &u64, connection: &mut Box<Connection>| connection.is_aborted();
        let aborted: Vec<_> = self.connections.extract_if(aborted).collect();
        for (_, connection) in aborted {
            connection.end(EndReason::DrainTimeout, &mut self.shared);
        }
    }

    fn abort_all(&mut self) {
        for (_, connection) in self.connections.drain() {
            connection.end(EndReason::DrainTimeout, &mut self.shared);
        }
    }
}
