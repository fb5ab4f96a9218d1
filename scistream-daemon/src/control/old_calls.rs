//! SciStream's own service, with the texts that its programs know. No logic: each call is converted,
//! answered by [`Calls`], and converted back.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::answer::{Teller, strings};
use super::calls::{Calls, Record};
use super::convert::{self, NAMES_IN_UPDATE};
use super::gate::Admitted;
use super::status::Refusal;
use crate::session::{Role, SessionId};
use crate::wire::scistream as old;
use crate::wire::scistream::control_server::Control;

/// Answers `scistream.Control`.
pub(super) struct OldCalls(pub(super) Arc<Calls>);

#[tonic::async_trait]
impl Control for OldCalls {
    async fn req(&self, request: Request<old::Request>) -> Result<Response<old::Response>, Status> {
        let (caller, message) = admitted(request)?;
        let record = Record::begin(&self.0, "scistream.Control/req", &message.uid, &caller);
        record.end(self.answer_req(&caller, message).await)
    }

    async fn update(
        &self,
        request: Request<old::UpdateTargets>,
    ) -> Result<Response<old::Response>, Status> {
        let (caller, message) = admitted(request)?;
        let record = Record::begin(&self.0, "scistream.Control/update", &message.uid, &caller);
        record.end(self.answer_update(&caller, message).await)
    }

    async fn release(
        &self,
        request: Request<old::Release>,
    ) -> Result<Response<old::Response>, Status> {
        let (caller, message) = admitted(request)?;
        let record = Record::begin(&self.0, "scistream.Control/release", &message.uid, &caller);
        record.end(self.answer_release(&caller, &message.uid).await)
    }

    async fn hello(
        &self,
        request: Request<old::Hello>,
    ) -> Result<Response<old::AppResponse>, Status> {
        let (caller, message) = admitted(request)?;
        let record = Record::begin(&self.0, "scistream.Control/hello", &message.uid, &caller);
        record.end(self.answer_hello(&caller, &message).await)
    }
}

impl OldCalls {
    async fn answer_req(
        &self,
        caller: &Admitted,
        message: old::Request,
    ) -> Result<old::Response, Refusal> {
        let request = convert::req(message)?;
        let created = self.0.create(&caller.subject, request).await?;
        Ok(old::Response {
            listeners: self.teller(caller).listeners(&created.session.listeners),
            prod_listeners: strings(&created.session.announced),
        })
    }

    async fn answer_update(
        &self,
        caller: &Admitted,
        message: old::UpdateTargets,
    ) -> Result<old::Response, Refusal> {
        let (id, targets) = convert::update(&message)?;
        let updated = self.0.update(&caller.subject, &id, targets).await;
        let session = updated.map_err(|refusal| refusal.in_words_of(NAMES_IN_UPDATE))?;
        Ok(old::Response {
            listeners: self.teller(caller).listeners(&session.listeners),
            prod_listeners: strings(&session.targets),
        })
    }

    async fn answer_release(&self, caller: &Admitted, uid: &str) -> Result<old::Response, Refusal> {
        let id: SessionId = uid.parse()?;
        let touching = self.0.caller(&caller.subject, None);
        self.0.sessions.release(&touching, &id, None).await?;
        Ok(old::Response::default())
    }

    async fn answer_hello(
        &self,
        caller: &Admitted,
        message: &old::Hello,
    ) -> Result<old::AppResponse, Refusal> {
        let (id, hello) = convert::hello(message)?;
        let role = hello.role;
        let session = self.0.hello(&caller.subject, &id, hello).await?;
        Ok(match role {
            Role::Producer => old::AppResponse {
                message: "Sending Prod listeners...".to_owned(),
                listeners: Vec::new(),
            },
            Role::Consumer => old::AppResponse {
                message: "Sending listeners...".to_owned(),
                listeners: self.teller(caller).listeners(&session.listeners),
            },
        })
    }

    fn teller(&self, caller: &Admitted) -> Teller<'_> {
        Teller {
            told: &self.0.told,
            arrived: caller.origin.arrived,
        }
    }
}

/// The caller and the message. Whatever comes here has passed the gate.
pub(super) fn admitted<T>(request: Request<T>) -> Result<(Admitted, T), Status> {
    let (_metadata, mut extensions, message) = request.into_parts();
    let caller = extensions.remove::<Admitted>();
    let caller = caller.ok_or_else(|| Status::internal("the call did not pass the gate"))?;
    Ok((caller, message))
}
