//! What stands before both services: nobody's message is read before it is known whose it is, so that
//! strangers can neither fill our memory nor learn from our answers.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use http::{HeaderMap, Request, Response, header};
use tonic::body::Body;
use tower::{Layer, Service};

use super::calls::Calls;
use super::connections::CallInProgress;
use super::guarded::Origin;
use super::status::Refusal;
use crate::auth::{AuthError, Credentials};
use crate::metrics::AuthFailure;
use crate::policy::Subject;

/// Services whose callers must be known. The others, health and reflection, say the same to all.
const GUARDED: [&str; 2] = ["/scistream.Control/", "/scistream.v1.Gateway/"];

/// Puts the gate before services.
#[derive(Clone)]
pub(super) struct GateLayer {
    pub(super) calls: Arc<Calls>,
}

/// The gate before one service.
#[derive(Clone)]
pub(super) struct Gate<S> {
    calls: Arc<Calls>,
    inner: S,
}

/// A caller that the gate has let through, among a request's extensions.
#[derive(Clone)]
pub(super) struct Admitted {
    /// Who it is.
    pub(super) subject: Subject,
    /// Where the call came from.
    pub(super) origin: Origin,
    /// When its headers were here.
    pub(super) began: Instant,
    /// Keeps the connection as long as the answer takes.
    pub(super) call: Arc<CallInProgress>,
}

impl<S> Layer<S> for GateLayer {
    type Service = Gate<S>;

    fn layer(&self, inner: S) -> Gate<S> {
        Gate {
            calls: Arc::clone(&self.calls),
            inner,
        }
    }
}

impl<S> Service<Request<Body>> for Gate<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let began = Instant::now();
        // The clone stays behind; the one that was ready is used.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let calls = Arc::clone(&self.calls);
        Box::pin(async move {
            let origin = request.extensions().get::<Origin>().cloned();
            let path = request.uri().path();
            let Some(origin) =
                origin.filter(|_| GUARDED.iter().any(|guarded| path.starts_with(guarded)))
            else {
                if let Some(origin) = request.extensions().get::<Origin>() {
                    origin.presence.touch();
                }
                return inner.call(request).await;
            };
            match identify(&calls, request.headers(), &origin).await {
                Ok(subject) => {
                    origin.presence.prove();
                    let call = Arc::new(origin.presence.call());
                    let admitted = Admitted {
                        subject,
                        origin,
                        began,
                        call,
                    };
                    request.extensions_mut().insert(admitted);
                    inner.call(request).await
                }
                Err(error) => {
                    let method = request.uri().path().trim_start_matches('/');
                    Ok(calls.turn_away(method, &origin, error, began).into_http())
                }
            }
        })
    }
}

async fn identify(
    calls: &Calls,
    headers: &HeaderMap,
    origin: &Origin,
) -> Result<Subject, AuthError> {
    let shown = Credentials {
        certificate: origin.certificate.as_ref(),
        authorization: headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok()),
    };
    calls.authentication.identify(shown).await
}

impl Calls {
    /// Says no to someone who is not known, and keeps a record of it.
    fn turn_away(
        &self,
        method: &str,
        origin: &Origin,
        error: AuthError,
        began: Instant,
    ) -> tonic::Status {
        if let AuthError::Invalid { reason, .. } = &error {
            tracing::info!(peer = %origin.peer, %reason, "a token was refused");
        }
        self.counts.count_failure(match &error {
            AuthError::Invalid { .. } => AuthFailure::Invalid,
            AuthError::Missing { .. } => AuthFailure::Missing,
            AuthError::Unavailable { .. } => AuthFailure::Unavailable,
        });
        let refusal = Refusal::Auth(error);
        self.record_refused(method, origin, &refusal, began);
        refusal.to_status()
    }
}
