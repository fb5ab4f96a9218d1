//! What both services do with a call: ask the policy, ask the sessions, keep a record.

mod record;

use std::sync::Arc;

use crate::audit::Audit;
use crate::auth::Authentication;
use crate::config::RateMeaning;
use crate::metrics::CallCounts;
use crate::policy::{Asked, AskedTarget, Decision, Grant, Pass, Permission, Policy, Subject};
use crate::session::{
    Caller, CreateSession, Hello, Principal, Quota, Rate, Role, SessionId, SessionView, Target,
};
use crate::sessions::{CreatedSession, Sessions};

use super::convert::Told;
use super::resolve::resolve;
use super::status::Refusal;
pub(super) use record::Record;

/// What answers calls.
pub(super) struct Calls {
    pub(super) authentication: Arc<Authentication>,
    pub(super) policy: Policy,
    pub(super) sessions: Sessions,
    pub(super) audit: Audit,
    pub(super) counts: Arc<CallCounts>,
    pub(super) told: Told,
    pub(super) rate: RateMeaning,
}

impl Calls {
    /// Makes a session, if the policy grants it.
    pub(super) async fn create(
        &self,
        subject: &Subject,
        mut request: CreateSession,
    ) -> Result<CreatedSession, Refusal> {
        let mut asked = self.asked(&request);
        asked.targets = self.asked_targets(&request.targets).await;
        let grant = self.granted(subject, &asked)?;
        request.targets = pinned(&request.targets, &asked.targets, &grant);
        let caller = self.caller(subject, Some(grant));
        Ok(self.sessions.create(&caller, request).await?)
    }

    /// Says where a session's listeners send to, if the policy grants that.
    pub(super) async fn update(
        &self,
        subject: &Subject,
        id: &SessionId,
        targets: Vec<Target>,
    ) -> Result<SessionView, Refusal> {
        let caller = self.caller(subject, None);
        let targets = self.granted_targets(subject, &caller, id, targets).await?;
        Ok(self.sessions.update(&caller, id, targets).await?)
    }

    /// Says hello to a session: its owner, an admin, or whoever may do so for all.
    pub(super) async fn hello(
        &self,
        subject: &Subject,
        id: &SessionId,
        hello: Hello,
    ) -> Result<SessionView, Refusal> {
        let mut caller = self.caller(subject, None);
        caller.admin |= self.policy.permits(subject, Permission::Application);
        Ok(self.sessions.hello(&caller, id, hello).await?)
    }

    /// The caller as the sessions know it, with what it was granted.
    pub(super) fn caller(&self, subject: &Subject, grant: Option<Grant>) -> Caller {
        let grant = grant.unwrap_or_default();
        Caller {
            principal: Principal::new(subject.id.as_str()),
            admin: self.is_admin(subject),
            quota: Quota {
                sessions: grant.maxima.sessions,
                connections: grant.maxima.connections,
                rate: grant.maxima.rate_bps.map(Rate::from_bits),
                reserved: None,
                lifetime: grant.maxima.lifetime,
                sources: (!grant.sources.is_empty()).then_some(grant.sources),
            },
        }
    }

    /// Where nobody is asked who they are and nothing is forbidden, there is nobody else to ask.
    pub(super) fn is_admin(&self, subject: &Subject) -> bool {
        let is_alone = self.policy.rules.is_empty() && subject.id == Subject::ANONYMOUS;
        is_alone || self.policy.permits(subject, Permission::Admin)
    }

    async fn granted_targets(
        &self,
        subject: &Subject,
        caller: &Caller,
        id: &SessionId,
        targets: Vec<Target>,
    ) -> Result<Vec<Target>, Refusal> {
        if self.policy.rules.is_empty() {
            return Ok(targets);
        }
        let session = self.sessions.show(caller, id)?.session.session;
        let asked = Asked {
            permission: permission(session.role),
            listeners: 0,
            rate_bps: 0,
            lifetime: None,
            sources: Vec::new(),
            targets: self.asked_targets(&targets).await,
        };
        let grant = self.granted(subject, &asked)?;
        Ok(pinned(&targets, &asked.targets, &grant))
    }

    fn granted(&self, subject: &Subject, asked: &Asked) -> Result<Grant, Refusal> {
        let Decision {
            outcome,
            considered,
        } = self.policy.decide(subject, asked);
        outcome.map_err(|denial| {
            tracing::info!(subject = subject.id, %denial, rules = considered.len(), "the policy denied a call");
            Refusal::Denied(denial)
        })
    }

    fn asked(&self, request: &CreateSession) -> Asked {
        let of_wire = match self.rate {
            RateMeaning::Cap | RateMeaning::Reserve => request.rate,
            RateMeaning::Ignore => None,
        };
        let rates = [of_wire, request.reserved, request.max_rate];
        Asked {
            permission: permission(request.role),
            listeners: request.listeners,
            rate_bps: rates
                .into_iter()
                .flatten()
                .map(Rate::to_bits)
                .max()
                .unwrap_or(0),
            lifetime: request.lifetime,
            sources: request.sources.clone(),
            targets: Vec::new(),
        }
    }

    /// The targets with their addresses, which only rules want to know.
    async fn asked_targets(&self, targets: &[Target]) -> Vec<AskedTarget> {
        if self.policy.rules.is_empty() {
            return Vec::new();
        }
        resolve(targets).await
    }
}

fn permission(role: Role) -> Permission {
    match role {
        Role::Consumer => Permission::Consumer,
        Role::Producer => Permission::Producer,
    }
}

/// The targets as they may be dialled: a name that was let through by its addresses is replaced by
/// them, or it could mean others a moment later.
fn pinned(targets: &[Target], asked: &[AskedTarget], grant: &Grant) -> Vec<Target> {
    if asked.len() != targets.len() {
        return targets.to_vec();
    }
    let mut pinned = Vec::with_capacity(targets.len());
    for ((target, asked), pass) in targets.iter().zip(asked).zip(&grant.passes) {
        match (pass, asked.addresses.first()) {
            (Pass::ByAddress, Some(address)) if asked.name.is_some() => {
                pinned.push(Target::from(std::net::SocketAddr::new(
                    *address, asked.port,
                )));
            }
            (Pass::ByAddress | Pass::ByName, _) => pinned.push(target.clone()),
        }
    }
    pinned
}
