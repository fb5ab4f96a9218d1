//! The gateway's own service. No logic: each call is converted, answered by [`Calls`], and converted
//! back.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::answer::{Teller, event};
use super::calls::{Calls, Record};
use super::convert::{self, NAMES_OF_OUR_OWN};
use super::gate::Admitted;
use super::old_calls::admitted;
use super::status::Refusal;
use crate::session::SessionId;
use crate::sessions::{EventStream, TrafficView, Watched};
use crate::wire::gateway as own;
use crate::wire::gateway::gateway_server::Gateway;

/// Events that wait for a watcher's connection; the sessions keep some more.
const EVENTS_WAITING: usize = 64;

/// Answers `scistream.v1.Gateway`.
pub(super) struct OwnCalls(pub(super) Arc<Calls>);

#[tonic::async_trait]
impl Gateway for OwnCalls {
    async fn create_session(
        &self,
        request: Request<own::CreateSessionRequest>,
    ) -> Result<Response<own::CreateSessionResponse>, Status> {
        let (caller, message) = admitted(request)?;
        let call = "scistream.v1.Gateway/CreateSession";
        let mut record = Record::begin(&self.0, call, &message.uid, &caller);
        let outcome = self.answer_create(&caller, message, &mut record).await;
        record.end(outcome)
    }

    async fn update_targets(
        &self,
        request: Request<own::UpdateTargetsRequest>,
    ) -> Result<Response<own::UpdateTargetsResponse>, Status> {
        let (caller, message) = admitted(request)?;
        let call = "scistream.v1.Gateway/UpdateTargets";
        let record = Record::begin(&self.0, call, &message.uid, &caller);
        record.end(self.answer_update(&caller, &message).await)
    }

    async fn list_sessions(
        &self,
        request: Request<own::ListSessionsRequest>,
    ) -> Result<Response<own::ListSessionsResponse>, Status> {
        let (caller, own::ListSessionsRequest {}) = admitted(request)?;
        let record = Record::begin(&self.0, "scistream.v1.Gateway/ListSessions", "", &caller);
        let listed = self.0.sessions.list(&self.0.caller(&caller.subject, None));
        let teller = self.teller(&caller);
        let sessions = listed.iter().map(|view| teller.session(view)).collect();
        record.end(Ok(own::ListSessionsResponse { sessions }))
    }

    async fn get_session(
        &self,
        request: Request<own::GetSessionRequest>,
    ) -> Result<Response<own::GetSessionResponse>, Status> {
        let (caller, message) = admitted(request)?;
        let call = "scistream.v1.Gateway/GetSession";
        let record = Record::begin(&self.0, call, &message.uid, &caller);
        record.end(self.answer_get(&caller, &message.uid))
    }

    type WatchEventsStream = Pin<Box<dyn Stream<Item = Result<own::Event, Status>> + Send>>;

    async fn watch_events(
        &self,
        request: Request<own::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let (caller, message) = admitted(request)?;
        let call = "scistream.v1.Gateway/WatchEvents";
        let record = Record::begin(&self.0, call, &message.uid, &caller);
        record.end(self.answer_watch(&caller, &message.uid))
    }

    async fn release_session(
        &self,
        request: Request<own::ReleaseSessionRequest>,
    ) -> Result<Response<own::ReleaseSessionResponse>, Status> {
        let (caller, message) = admitted(request)?;
        let call = "scistream.v1.Gateway/ReleaseSession";
        let record = Record::begin(&self.0, call, &message.uid, &caller);
        record.end(self.answer_release(&caller, &message).await)
    }

    async fn drain(
        &self,
        request: Request<own::DrainRequest>,
    ) -> Result<Response<own::DrainResponse>, Status> {
        let (caller, message) = admitted(request)?;
        let record = Record::begin(&self.0, "scistream.v1.Gateway/Drain", "", &caller);
        record.end(self.answer_drain(&caller, message))
    }
}

impl OwnCalls {
    async fn answer_create(
        &self,
        caller: &Admitted,
        message: own::CreateSessionRequest,
        record: &mut Record,
    ) -> Result<own::CreateSessionResponse, Refusal> {
        let request = convert::create(message)?;
        let created = self.0.create(&caller.subject, request).await;
        let created = created.map_err(|refusal| refusal.in_words_of(NAMES_OF_OUR_OWN))?;
        record.name(created.session.id.to_string());
        Ok(own::CreateSessionResponse {
            session: Some(self.session(caller, &created.session.id)?),
            existed: created.existed,
        })
    }

    async fn answer_update(
        &self,
        caller: &Admitted,
        message: &own::UpdateTargetsRequest,
    ) -> Result<own::UpdateTargetsResponse, Refusal> {
        let id: SessionId = message.uid.parse()?;
        let targets = convert::own_targets(&message.targets)?;
        let updated = self.0.update(&caller.subject, &id, targets).await;
        updated.map_err(|refusal| refusal.in_words_of(NAMES_OF_OUR_OWN))?;
        Ok(own::UpdateTargetsResponse {
            session: Some(self.session(caller, &id)?),
        })
    }

    fn answer_get(&self, caller: &Admitted, uid: &str) -> Result<own::GetSessionResponse, Refusal> {
        let touching = self.0.caller(&caller.subject, None);
        let details = self.0.sessions.show(&touching, &uid.parse()?)?;
        let teller = self.teller(caller);
        let connections = details.connections.iter();
        Ok(own::GetSessionResponse {
            session: Some(teller.session(&details.session)),
            connections: connections.map(|view| teller.connection(view)).collect(),
        })
    }

    fn answer_watch(
        &self,
        caller: &Admitted,
        uid: &str,
    ) -> Result<<Self as Gateway>::WatchEventsStream, Refusal> {
        let touching = self.0.caller(&caller.subject, None);
        let id: Option<SessionId> = (!uid.is_empty()).then(|| uid.parse()).transpose()?;
        let events = self.0.sessions.watch(&touching, id.as_ref())?;
        let (sender, stream) = mpsc::channel(EVENTS_WAITING);
        tokio::spawn(pass_on(events, sender, caller.clone()));
        Ok(Box::pin(ReceiverStream::new(stream)))
    }

    async fn answer_release(
        &self,
        caller: &Admitted,
        message: &own::ReleaseSessionRequest,
    ) -> Result<own::ReleaseSessionResponse, Refusal> {
        let id: SessionId = message.uid.parse()?;
        let drain = convert::drain(message.drain)?;
        let touching = self.0.caller(&caller.subject, None);
        self.0.sessions.release(&touching, &id, drain).await?;
        Ok(own::ReleaseSessionResponse {})
    }

    fn answer_drain(
        &self,
        caller: &Admitted,
        message: own::DrainRequest,
    ) -> Result<own::DrainResponse, Refusal> {
        let drain = convert::drain(message.drain)?;
        if !self.0.is_admin(&caller.subject) {
            return Err(Refusal::NotAdmin);
        }
        let sessions = self.0.sessions.drain(drain);
        Ok(own::DrainResponse {
            sessions: u32::try_from(sessions).unwrap_or(u32::MAX),
        })
    }

    fn session(&self, caller: &Admitted, id: &SessionId) -> Result<own::Session, Refusal> {
        let touching = self.0.caller(&caller.subject, None);
        let view: TrafficView = self.0.sessions.show(&touching, id)?.session;
        Ok(self.teller(caller).session(&view))
    }

    fn teller(&self, caller: &Admitted) -> Teller<'_> {
        Teller {
            told: &self.0.told,
            arrived: caller.origin.arrived,
        }
    }
}

/// Hands events to a watcher until either end is gone. The caller is kept, and with it its
/// connection.
async fn pass_on(
    mut events: EventStream,
    sender: mpsc::Sender<Result<own::Event, Status>>,
    caller: Admitted,
) {
    let _connection_in_use = &caller.call;
    loop {
        let watched = tokio::select! {
            watched = events.next() => watched,
            () = sender.closed() => return,
        };
        let (item, is_last) = match watched {
            Some(Watched::Event(happened)) => (Ok(event(&happened)), false),
            Some(Watched::Lagged(lost)) => (Err(Refusal::EventsLost(lost).to_status()), true),
            None => (Err(Refusal::Stopping.to_status()), true),
        };
        if sender.send(item).await.is_err() || is_last {
            return;
        }
    }
}
