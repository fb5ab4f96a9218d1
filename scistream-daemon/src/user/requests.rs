//! Upstream's request commands: the same steps, the same lines.
//!
//! Unlike upstream's, they need no pause between `req` and `hello`, and a session whose set-up
//! fails half-way is released.

use serde_json::json;

use super::access::One;
use super::cli::{InboundArgs, MockArgs, OutboundArgs, ProdReqArgs, RequestArgs};
use super::control_calls::{self, Role, Wanted};
use super::deadline::Deadline;
use super::failure::Failure;
use super::output::{Output, listed};
use super::release;
use super::remote::Remote;
use super::uid;
use crate::wire::scistream::{Hello, Response};

/// `s2uc inbound-request`.
///
/// # Errors
/// What the gateway answered; nothing is left there.
pub async fn inbound(args: &InboundArgs, output: &Output) -> Result<(), Failure> {
    let InboundArgs {
        request,
        receiver,
        mock,
        one,
    } = args;
    let setup = Setup::begin(one, request, Role::Producer, fresh_or_mock(*mock)?, output).await?;
    let targets = receiver.receiver_ports.of(&receiver.remote_ip);
    output.line("sending client request message");
    let response = setup.req_and_hello(targets).await?;
    setup.start(response.prod_listeners.clone()).await?;
    setup.finish(&response.listeners, &response.prod_listeners);
    Ok(())
}

/// `s2uc outbound-request`.
///
/// # Errors
/// What the gateway answered; nothing is left there.
pub async fn outbound(args: &OutboundArgs, output: &Output) -> Result<(), Failure> {
    let OutboundArgs {
        uid,
        prod_lstn,
        request,
        receiver,
        one,
    } = args;
    let setup = Setup::begin(one, request, Role::Consumer, uid.clone(), output).await?;
    let receivers = receiver.receiver_ports.of(&receiver.remote_ip);
    let response = setup.req_and_hello(receivers).await?;
    let targets = prod_lstn.to_strings();
    setup.start(targets.clone()).await?;
    setup.finish(&response.listeners, &targets);
    Ok(())
}

/// `s2uc prod-req`: the application says hello.
///
/// # Errors
/// What the gateway answered, or that nobody said hello in time; nothing is left there.
pub async fn producer(args: &ProdReqArgs, output: &Output) -> Result<(), Failure> {
    let ProdReqArgs { request, mock, one } = args;
    let setup = Setup::begin(one, request, Role::Producer, fresh_or_mock(*mock)?, output).await?;
    output.line("waiting for hello message");
    let asked = control_calls::req(&setup.remote, &setup.wanted, setup.deadline).await;
    let response = setup.released_unless(asked).await?;
    print_response(&response, output);
    setup.start(response.prod_listeners.clone()).await?;
    output.line(&listed(&response.listeners));
    setup.result(&response.listeners, &response.prod_listeners);
    Ok(())
}

fn fresh_or_mock(mock: MockArgs) -> Result<String, Failure> {
    if mock.mock {
        return Ok(uid::MOCK.to_owned());
    }
    uid::fresh()
}

/// One session that is being set up on one gateway.
struct Setup<'a> {
    remote: Remote,
    wanted: Wanted,
    deadline: Deadline,
    output: &'a Output,
}

impl<'a> Setup<'a> {
    async fn begin(
        one: &One,
        request: &RequestArgs,
        role: Role,
        uid: String,
        output: &'a Output,
    ) -> Result<Self, Failure> {
        let (remote, deadline) = one.open(output).await?;
        let token = remote.token().shown(request.show_token);
        output.line("uid; s2cs; access_token; role");
        output.line(&format!("{uid} {} {token} {}", one.s2cs, role.on_wire()));
        let wanted = Wanted {
            uid,
            role,
            listeners: request.num_conn,
            rate: request.rate,
        };
        Ok(Self {
            remote,
            wanted,
            deadline,
            output,
        })
    }

    async fn req_and_hello(&self, prod_listeners: Vec<String>) -> Result<Response, Failure> {
        self.output.line("waiting for hello message");
        // Upstream says PROD to the consumer's gateway as well: every gateway has learnt to take it.
        let hello = Hello {
            uid: self.wanted.uid.clone(),
            prod_listeners,
            role: Role::Producer.on_wire().to_owned(),
        };
        let asked =
            control_calls::req_and_hello(&self.remote, &self.wanted, hello, self.deadline).await;
        let (response, _hello) = self.released_unless(asked).await?;
        self.output.line("Hello message sent successfully");
        Ok(response)
    }

    async fn start(&self, targets: Vec<String>) -> Result<(), Failure> {
        let updated =
            control_calls::update(&self.remote, &self.wanted, targets, self.deadline).await;
        self.released_unless(updated).await.map(|_response| ())
    }

    /// Passes a success on; after a failure the session is released, if it is ours.
    async fn released_unless<T>(&self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        match outcome {
            Ok(value) => Ok(value),
            Err(failure) => Err(release::after(failure, &self.remote, &self.wanted.uid).await),
        }
    }

    fn finish(&self, listeners: &[String], targets: &[String]) {
        self.output
            .line(&format!("Listeners: {}", listed(listeners)));
        self.result(listeners, targets);
    }

    fn result(&self, listeners: &[String], targets: &[String]) {
        self.output.json(&json!({
            "uid": self.wanted.uid,
            "s2cs": self.remote.host().to_string(),
            "role": self.wanted.role.on_wire(),
            "listeners": listeners,
            "targets": targets,
        }));
    }
}

/// The response as upstream prints it: a line for each value.
fn print_response(response: &Response, output: &Output) {
    for listener in &response.listeners {
        output.line(&format!("listeners: {listener:?}"));
    }
    for target in &response.prod_listeners {
        output.line(&format!("prod_listeners: {target:?}"));
    }
    output.line("");
}
