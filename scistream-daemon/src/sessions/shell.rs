//! Feeds the registry and carries out what it says.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use tokio::net::lookup_host;
use tokio::runtime::Handle;
use tokio::sync::{Notify, broadcast, oneshot, watch};
use tokio::time::sleep_until;

use super::config::{SessionsConfig, SharedParts};
use super::events::{Event, EventStream, KEPT};
use super::keeper::Progress;
use super::running::Running;
use super::traffic::{SessionDetails, TrafficView};
use super::{Resolved, running};
use crate::dataplane::{Direction, Totals};
use crate::listener::{Dialer, Gateway, OwnListeners, Targets};
use crate::session::error::Unavailable;
use crate::session::exchange::{Answer, Input, Output, SessionKey, Ticket};
use crate::session::registry::Registry;
use crate::session::{
    Caller, Census, Change, ChangeCode, SavedSession, SessionError, SessionId, Target,
};

/// How a call was answered.
type Reply = Result<Box<Answer>, SessionError>;

/// The sessions and what they run on.
pub(super) struct Shell {
    pub(super) config: SessionsConfig,
    pub(super) gateway: Gateway,
    pub(super) own: Arc<OwnListeners>,
    pub(super) dialer: Dialer,
    runtime: Handle,
    state: Mutex<State>,
    events: broadcast::Sender<Arc<Event>>,
    next_ticket: AtomicU64,
    pub(super) progress: Progress,
    /// How many sessions there are.
    open: watch::Sender<usize>,
    /// Something about the next deadline has changed.
    timer: Arc<Notify>,
    /// One moment on both clocks.
    epoch: (Instant, SystemTime),
}

/// What the lock is for.
struct State {
    registry: Registry,
    running: HashMap<SessionKey, Running>,
    tickets: HashMap<Ticket, oneshot::Sender<Reply>>,
}

impl Shell {
    pub(super) fn new(config: SessionsConfig, shared: SharedParts) -> Self {
        let SharedParts {
            plane,
            admission,
            log,
        } = shared;
        let own = Arc::new(OwnListeners::new(config.advertised.clone()));
        for listen in &config.also_listening {
            own.add(*listen);
        }
        let (options, timeout) = (config.socket_options, config.connect_timeout);
        Self {
            dialer: Dialer::new(options, timeout, Arc::clone(&own)),
            gateway: Gateway::new(plane, admission, log),
            own,
            runtime: Handle::current(),
            state: Mutex::new(State {
                registry: Registry::new(config.registry.clone()),
                running: HashMap::new(),
                tickets: HashMap::new(),
            }),
            config,
            events: broadcast::Sender::new(KEPT),
            next_ticket: AtomicU64::new(0),
            progress: Progress::new(),
            open: watch::Sender::new(0),
            timer: Arc::default(),
            epoch: (Instant::now(), SystemTime::now()),
        }
    }

    pub(super) fn timer(&self) -> Arc<Notify> {
        Arc::clone(&self.timer)
    }

    /// Makes a call and waits for its answer; the registry is told when the caller stops waiting.
    pub(super) async fn ask(
        self: &Arc<Self>,
        input: impl FnOnce(Ticket) -> Input,
        resolved: &Resolved,
    ) -> Result<Answer, SessionError> {
        let ticket = Ticket(self.next_ticket.fetch_add(1, Ordering::Relaxed));
        let (reply, answered) = oneshot::channel();
        self.state().tickets.insert(ticket, reply);
        let _told_when_dropped = Asking {
            shell: self,
            ticket,
        };
        self.feed(input(ticket), resolved);
        // Every ticket is answered; the sender goes only with the shell.
        let stopping = |_| Err(SessionError::Unavailable(Unavailable::Stopping));
        let reply = answered.await.unwrap_or_else(stopping);
        reply.map(|answer| *answer)
    }

    /// Whether `caller` may touch the session `id`.
    pub(super) fn look_at(&self, caller: &Caller, id: &SessionId) -> Result<(), SessionError> {
        let shown = self.state().registry.show(caller, id, Instant::now());
        shown.map(|_view| ())
    }

    /// Whether whoever connects to `target`, which was found to be at `found`, comes back to us.
    pub(super) async fn leads_back(&self, target: &Target, found: &Targets) -> bool {
        if let Some(name) = self.own.name_to_look_up(target.port()) {
            // A name that is not found keeps the addresses it had.
            if let Ok(addresses) = lookup_host((name, target.port())).await {
                self.own.learn(addresses.map(|address| address.ip()));
            }
        }
        let addresses = found.addresses();
        addresses.into_iter().any(|address| self.own.reach(address))
    }

    pub(super) fn list(&self, caller: &Caller) -> Vec<TrafficView> {
        let now = Instant::now();
        let state = self.state();
        let listed = state.registry.list(caller, now);
        let traffic = listed.into_iter().filter_map(|(key, view)| {
            let running = state.running.get(&key)?;
            Some(running.traffic(view, self.wall_clock(now)))
        });
        traffic.collect()
    }

    pub(super) fn show(
        &self,
        caller: &Caller,
        id: &SessionId,
    ) -> Result<SessionDetails, SessionError> {
        let now = Instant::now();
        let (session, route) = {
            let state = self.state();
            let (key, view) = state.registry.show(caller, id, now)?;
            let unknown = || SessionError::Unknown { id: id.clone() };
            let running = state.running.get(&key).ok_or_else(unknown)?;
            (running.traffic(view, self.wall_clock(now)), running.share())
        };
        // The kernel is asked about sockets without the lock.
        let connections = route.connections(now, self.wall_clock(now));
        Ok(SessionDetails {
            session,
            connections,
        })
    }

    pub(super) fn watch(
        &self,
        caller: &Caller,
        id: Option<&SessionId>,
    ) -> Result<EventStream, SessionError> {
        if let Some(id) = id {
            self.look_at(caller, id)?;
        }
        let events = self.events.subscribe();
        Ok(EventStream::new(events, caller.clone(), id.cloned()))
    }

    pub(super) fn drain(self: &Arc<Self>, limit: Option<Duration>) -> usize {
        let sessions = self.state().registry.len();
        self.feed(Input::Drain { limit }, &Resolved::new());
        sessions
    }

    pub(super) fn stop(self: &Arc<Self>, limit: Option<Duration>) -> usize {
        if !self.progress.is_kept() {
            return self.drain(limit);
        }
        let sessions = self.state().registry.len();
        self.feed(Input::Suspend { limit }, &Resolved::new());
        sessions
    }

    /// What is to be kept now, its revision, and who tells of later ones.
    pub(super) fn to_keep(&self) -> (watch::Receiver<u64>, u64, Vec<SavedSession>) {
        let changes = self.progress.subscribe();
        let state = self.state();
        (changes, state.registry.revision(), state.registry.saved())
    }

    /// Names that sessions came back with have addresses now.
    pub(super) fn aim_late(&self, resolved: &Resolved) {
        let mut state = self.state();
        let State {
            registry, running, ..
        } = &mut *state;
        for (key, running) in running {
            running.aim(registry.targets(*key), resolved);
        }
    }

    pub(super) fn census(&self) -> Census {
        self.state().registry.census(Instant::now())
    }

    pub(super) fn moved_by_open(&self) -> [Totals; 2] {
        let mut sums = [Totals::default(); 2];
        for session in self.all_running() {
            session.route.open.with(|open| {
                for connection in open.values() {
                    for (sum, direction) in sums.iter_mut().zip(Direction::BOTH) {
                        sum.add(connection.live.moved_by(direction));
                    }
                }
            });
        }
        sums
    }

    pub(super) async fn all_closed(&self) {
        let mut open = self.open.subscribe();
        let _sender_alive = open.wait_for(|open| *open == 0).await;
    }

    /// Everything that runs, for the pacer.
    pub(super) fn all_running(&self) -> Vec<running::Shared> {
        let state = self.state();
        state.running.values().map(Running::share).collect()
    }

    /// Completes when there is a session.
    pub(super) fn any(&self) -> watch::Receiver<usize> {
        self.open.subscribe()
    }

    /// Tells the registry something, and carries out what follows.
    pub(super) fn feed(self: &Arc<Self>, input: Input, resolved: &Resolved) {
        // A caller may go away on a thread that is none of the runtime's.
        let _within = self.runtime.enter();
        let mut state = self.state();
        let before = state.registry.next_deadline();
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let outputs = state.registry.handle(input, Instant::now());
            for output in outputs {
                inputs.extend(self.carry_out(&mut state, output, resolved));
            }
        }
        self.progress.changed(state.registry.revision());
        if state.registry.next_deadline() != before {
            self.timer.notify_one();
        }
    }

    /// Carries an output out; what that brings about is fed next.
    fn carry_out(
        self: &Arc<Self>,
        state: &mut State,
        output: Output,
        resolved: &Resolved,
    ) -> Option<Input> {
        match output {
            Output::Prepare { key, terms } => {
                let running = Running::new(self, key, terms);
                state.running.insert(key, running);
                self.open.send_replace(state.running.len());
            }
            Output::OpenListener { key, index, port } => {
                let running = state.running.get_mut(&key)?;
                return Some(running.open(self, index, port));
            }
            Output::SetTargets { key, targets } => {
                state.running.get_mut(&key)?.aim(&targets, resolved);
            }
            Output::CloseListeners { key } => {
                let running = state.running.get_mut(&key)?;
                tokio::spawn(running.see_off(self));
            }
            Output::EndConnections { key } => state.running.get_mut(&key)?.cut(),
            Output::Answer { ticket, answer } => {
                if let Some(reply) = state.tickets.remove(&ticket) {
                    let _went_away = reply.send(answer);
                }
            }
            Output::Record(change) => self.tell(change),
        }
        None
    }

    /// The last of a session has been fed: forgets it.
    pub(super) fn forget(&self, key: SessionKey) {
        let mut state = self.state();
        state.running.remove(&key);
        self.open.send_replace(state.running.len());
    }

    fn tell(&self, change: Change) {
        if change.code == ChangeCode::Lost {
            tracing::warn!(session = %change.session, code = change.code.as_str(), "session: {}", change.sentence);
        } else {
            tracing::info!(
                session = %change.session,
                phase = change.phase.as_str(),
                code = change.code.as_str(),
                "session: {}", change.sentence
            );
        }
        let time = self.wall_clock(change.at);
        let _nobody_watches = self.events.send(Arc::new(Event { time, change }));
    }

    pub(super) fn wall_clock(&self, at: Instant) -> SystemTime {
        let (instant, time) = self.epoch;
        time + at.saturating_duration_since(instant)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // The task that keeps time finds it gone.
        self.timer.notify_one();
    }
}

/// A call that waits for its answer.
struct Asking<'a> {
    shell: &'a Arc<Shell>,
    ticket: Ticket,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let unanswered = self.shell.state().tickets.remove(&self.ticket).is_some();
        if unanswered {
            let ticket = self.ticket;
            let input = Input::CallerGone { ticket };
            self.shell.feed(input, &Resolved::new());
        }
    }
}

/// Tells the registry when something is due, as long as there is one.
pub(super) async fn keep_time(shell: Weak<Shell>, timer: Arc<Notify>) {
    loop {
        let deadline = match shell.upgrade() {
            Some(shell) => {
                shell.feed(Input::Tick, &Resolved::new());
                shell.state().registry.next_deadline()
            }
            None => return,
        };
        match deadline {
            Some(at) => {
                tokio::select! {
                    () = sleep_until(at.into()) => {}
                    () = timer.notified() => {}
                }
            }
            None => timer.notified().await,
        }
    }
}
