//! What a request gets: its terms, or why it is refused. Pure.

use std::cmp::min;
use std::time::Duration;

use super::super::caller::{Caller, Quota};
use super::super::error::{Resource, SessionError};
use super::super::exchange::Terms;
use super::super::id::SessionId;
use super::super::network::Network;
use super::super::rate::{Rate, RateUse};
use super::super::request::CreateSession;
use super::RegistryConfig;

/// What is in use when a session is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct InUse {
    pub(super) sessions: usize,
    pub(super) sessions_of_owner: usize,
    pub(super) reserved: Rate,
    pub(super) reserved_by_owner: Rate,
}

/// Settles the terms of a session, before ports are looked at.
pub(super) fn terms(
    id: &SessionId,
    caller: &Caller,
    request: &CreateSession,
    config: &RegistryConfig,
    in_use: InUse,
) -> Result<Terms, SessionError> {
    let quota = &caller.quota;
    sessions_fit(quota, config, in_use)?;
    let (reserved, max_rate) = rates(request, quota, config.rate_use);
    reservation_fits(reserved, quota, config, in_use)?;
    Ok(Terms {
        id: id.clone(),
        listeners: request.listeners as usize,
        sources: sources(request, quota)?,
        max_connections: connections(request, quota, config)?,
        reserved,
        max_rate,
        lifetime: least([
            above_zero("lifetime", request.lifetime)?,
            quota.lifetime,
            config.lifetime,
        ]),
        idle_timeout: above_zero("idle_timeout", request.idle_timeout)?.or(config.idle_timeout),
    })
}

fn sessions_fit(quota: &Quota, config: &RegistryConfig, in_use: InUse) -> Result<(), SessionError> {
    let own = quota.sessions.map_or(usize::MAX, |most| most as usize);
    let left = min(
        config.max_sessions.saturating_sub(in_use.sessions),
        own.saturating_sub(in_use.sessions_of_owner),
    );
    if left > 0 {
        return Ok(());
    }
    Err(exhausted(Resource::Sessions, 1, 0))
}

/// The rate reserved and the cap.
fn rates(request: &CreateSession, quota: &Quota, rate_use: RateUse) -> (Rate, Option<Rate>) {
    let wire = request.rate.filter(|rate| !rate.is_zero());
    let (wire_reserved, wire_cap) = match rate_use {
        RateUse::Cap => (None, wire),
        RateUse::Ignore => (None, None),
        RateUse::Reserve => (wire, None),
    };
    let asked = request.max_rate.filter(|rate| !rate.is_zero());
    let max_rate = least([asked, wire_cap, quota.rate]);
    let reserved = request.reserved.or(wire_reserved).unwrap_or(Rate::ZERO);
    // What it can never use need not be kept for it.
    (
        max_rate.map_or(reserved, |cap| min(reserved, cap)),
        max_rate,
    )
}

fn reservation_fits(
    reserved: Rate,
    quota: &Quota,
    config: &RegistryConfig,
    in_use: InUse,
) -> Result<(), SessionError> {
    let of_gateway = config.capacity.map(|all| all.less(in_use.reserved));
    let of_owner = quota.reserved.map(|all| all.less(in_use.reserved_by_owner));
    match least([of_gateway, of_owner]) {
        Some(left) if left < reserved => Err(exhausted(
            Resource::Bandwidth,
            reserved.to_bytes(),
            left.to_bytes(),
        )),
        Some(_) | None => Ok(()),
    }
}

fn sources(request: &CreateSession, quota: &Quota) -> Result<Vec<Network>, SessionError> {
    let Some(allowed) = &quota.sources else {
        return Ok(request.sources.clone());
    };
    if request.sources.is_empty() {
        return Ok(allowed.clone());
    }
    let outside = request
        .sources
        .iter()
        .find(|source| !allowed.iter().any(|network| network.covers(source)));
    match outside {
        None => Ok(request.sources.clone()),
        Some(source) => {
            let allowed: Vec<String> = allowed.iter().map(Network::to_string).collect();
            let allowed = format!("networks within {}", allowed.join(", "));
            Err(SessionError::bad_field("sources", source, allowed))
        }
    }
}

fn connections(
    request: &CreateSession,
    quota: &Quota,
    config: &RegistryConfig,
) -> Result<Option<u32>, SessionError> {
    if request.max_connections == Some(0) {
        let allowed = "1 or more, or nothing for no limit";
        return Err(SessionError::bad_field("max_connections", 0, allowed));
    }
    let asked = request.max_connections.or(config.max_connections);
    Ok(least([asked, quota.connections]))
}

fn above_zero(
    field: &'static str,
    time: Option<Duration>,
) -> Result<Option<Duration>, SessionError> {
    match time {
        Some(Duration::ZERO) => Err(SessionError::bad_field(
            field,
            "0 s",
            "a time above zero, or nothing for no limit",
        )),
        Some(_) | None => Ok(time),
    }
}

/// The least of the limits there are.
fn least<T: Ord, const N: usize>(limits: [Option<T>; N]) -> Option<T> {
    limits.into_iter().flatten().min()
}

fn exhausted(what: Resource, wanted: u64, left: u64) -> SessionError {
    SessionError::Exhausted {
        what,
        wanted,
        left,
        retry_after: None,
    }
}
