//! Hands a direction over from splice to the verdict, without losing or repeating a byte.
//!
//! The order matters, and each step leaves a state that works:
//!
//! 1. the ingress said `EAGAIN` and nothing is under way (the caller's condition): the head of the
//!    receive queue is not half read, which the verdict would redirect from its start;
//! 2. the slot is filled and the cookie known to the program;
//! 3. the egress enters its map, then the ingress enters the verdict's;
//! 4. the caller reads the ingress once more: no kernel runs the verdict over what arrived between
//!    1 and 3 by itself, but a receive call does.

use std::os::fd::AsFd as _;
use std::sync::Arc;

use super::super::sockmap::{Lease, Program, SockmapError};
use super::endpoint::Endpoint;
use super::flow::Flow;

/// Steps 2 and 3.
pub(super) fn hand_over(
    program: &Arc<Program>,
    ingress: &Endpoint,
    egress: &mut Endpoint,
) -> Result<Lease, SockmapError> {
    let (source, target) = (ingress.cookie()?, egress.cookie()?);
    let lease = program.lease(source, target)?;
    if !egress.is_target {
        program.insert_target(target, egress.as_fd())?;
        egress.is_target = true;
    }
    program.insert_source(source, ingress.as_fd())?;
    Ok(lease)
}

/// Where the other end of a socket is an application on this host, lets its messages jump the hop.
/// The order holds by itself: the program redirects only while everything that came by the
/// ordinary way has been written to the egress.
pub(super) fn join_local_apps(
    program: &Arc<Program>,
    ends: &mut [Endpoint; 2],
    flows: &mut [Flow; 2],
) {
    let [to_upstream, to_downstream] = flows;
    let [downstream, upstream] = ends;
    join_local_app(program, downstream, upstream, to_upstream);
    join_local_app(program, upstream, downstream, to_downstream);
}

fn join_local_app(
    program: &Arc<Program>,
    ingress: &Endpoint,
    egress: &mut Endpoint,
    flow: &mut Flow,
) {
    match try_join(program, ingress, egress) {
        Ok(Some(lease)) => flow.set_hop(lease),
        Ok(None) => tracing::debug!("no tracked application at the other end"),
        Err(declined) => {
            tracing::debug!(error = %declined, "an application's messages do not jump the hop");
        }
    }
}

fn try_join(
    program: &Arc<Program>,
    ingress: &Endpoint,
    egress: &mut Endpoint,
) -> Result<Option<Lease>, SockmapError> {
    let Some((ours, peer)) = ingress.addresses() else {
        return Ok(None);
    };
    let target = egress.cookie()?;
    if !egress.is_target {
        program.insert_target(target, egress.as_fd())?;
        egress.is_target = true;
    }
    program.lease_local(ours, peer, target)
}
