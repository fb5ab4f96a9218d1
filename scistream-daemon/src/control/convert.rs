//! From what came over the wire to what we believe: every field of every message is looked at here,
//! and refused by name, value and what is allowed. Pure and total.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

use crate::session::registry::MOST_TARGETS;
use crate::session::{CreateSession, Greeting, Hello, Rate, Role, SessionError, SessionId, Target};
use crate::wire::{gateway as own, scistream as old};

/// Targets that one message may name: what the sessions take, looked at before any of them is.
pub const TARGETS_MAX: usize = MOST_TARGETS;

/// Sources of one session.
pub const SOURCES_MAX: usize = 1_024;

/// What the sessions' fields are called in an `update`.
pub const NAMES_IN_UPDATE: Names = &[("targets", "remote_listeners")];

/// What the sessions' fields are called in our own service.
pub const NAMES_OF_OUR_OWN: Names = &[("num_conn", "listeners"), ("remote_listeners", "targets")];

/// Fields of sessions, each with the name that it has in a message.
pub type Names = &'static [(&'static str, &'static str)];

/// Longer times are not meant, and sums with them stay far from overflowing.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 86_400);

/// A `req`: a session that waits for its application.
///
/// # Errors
/// The first field that cannot be what it is.
pub fn req(message: old::Request) -> Result<CreateSession, SessionError> {
    let old::Request {
        uid,
        role,
        num_conn,
        rate,
    } = message;
    let listeners = u32::try_from(num_conn)
        .ok()
        .filter(|listeners| *listeners > 0);
    let listeners = listeners.ok_or_else(|| {
        SessionError::bad_field(
            "num_conn",
            num_conn,
            "1 to the number of the gateway's ports",
        )
    })?;
    let rate = u64::try_from(rate)
        .map_err(|_negative| SessionError::bad_field("rate", rate, "kB/s, or 0 for none"))?;
    Ok(CreateSession {
        id: Some(uid.parse()?),
        listeners,
        greeting: Greeting::Awaited(None),
        rate: (rate > 0).then(|| Rate::from_kilobytes(rate)),
        ..CreateSession::plain(old_role("role", &role)?)
    })
}

/// An `update`: the session, and where its listeners are to send to.
///
/// # Errors
/// The first field that cannot be what it is.
pub fn update(message: &old::UpdateTargets) -> Result<(SessionId, Vec<Target>), SessionError> {
    let old::UpdateTargets {
        uid,
        remote_listeners,
        role,
    } = message;
    let id = uid.parse()?;
    // Whose side the session is on was settled by its `req`.
    let _side = optional_role(role)?;
    if remote_listeners.is_empty() {
        let allowed = "at least one HOST:PORT";
        return Err(SessionError::bad_field("remote_listeners", "[]", allowed));
    }
    Ok((id, targets("remote_listeners", remote_listeners)?))
}

/// A `hello`: the session, and what its application says.
///
/// # Errors
/// The first field that cannot be what it is.
pub fn hello(message: &old::Hello) -> Result<(SessionId, Hello), SessionError> {
    let old::Hello {
        uid,
        prod_listeners,
        role,
    } = message;
    let id = uid.parse()?;
    let role = optional_role(role)?.unwrap_or(Role::Consumer);
    let listeners = targets("prod_listeners", prod_listeners)?;
    let targets = match role {
        // A consumer listens nowhere; old servers take no notice of what it says here.
        Role::Consumer => Vec::new(),
        Role::Producer => listeners,
    };
    Ok((id, Hello { role, targets }))
}

/// A create of our own service.
///
/// # Errors
/// The first field that cannot be what it is.
pub fn create(message: own::CreateSessionRequest) -> Result<CreateSession, SessionError> {
    let own::CreateSessionRequest {
        uid,
        role,
        listeners,
        reserved_rate_bps,
        max_rate_bps,
        targets: wanted,
        label,
        lifetime,
        idle_timeout,
        sources,
        idempotency_key,
    } = message;
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Ok(CreateSession {
        id: some(&uid).map(|uid| uid.parse()).transpose()?,
        listeners: listeners.max(1),
        greeting: Greeting::NotNeeded,
        reserved: bits("reserved_rate_bps", reserved_rate_bps)?,
        max_rate: bits("max_rate_bps", max_rate_bps)?,
        targets: targets("targets", &wanted)?,
        label: some(&label).map(|label| label.parse()).transpose()?,
        submission: some(&idempotency_key).map(|key| key.parse()).transpose()?,
        lifetime: time("lifetime", lifetime)?.filter(|time| !time.is_zero()),
        idle_timeout: time("idle_timeout", idle_timeout)?.filter(|time| !time.is_zero()),
        sources: {
            at_most("sources", sources.len(), SOURCES_MAX)?;
            let parsed = sources.iter().map(|source| source.parse());
            parsed.collect::<Result<_, _>>()?
        },
        ..CreateSession::plain(own_role(role)?)
    })
}

/// Targets of our own service; none is fine only where the caller says so.
///
/// # Errors
/// The first that is none.
pub fn own_targets(wanted: &[String]) -> Result<Vec<Target>, SessionError> {
    if wanted.is_empty() {
        let allowed = "at least one HOST:PORT";
        return Err(SessionError::bad_field("targets", "[]", allowed));
    }
    targets("targets", wanted)
}

/// How long to drain; `None` for not at all.
///
/// # Errors
/// When it is no time.
pub fn drain(message: Option<prost_types::Duration>) -> Result<Option<Duration>, SessionError> {
    Ok(time("drain", message)?.filter(|time| !time.is_zero()))
}

fn targets(field: &'static str, wanted: &[String]) -> Result<Vec<Target>, SessionError> {
    at_most(field, wanted.len(), TARGETS_MAX)?;
    let parsed = wanted.iter().map(|target| target.parse::<Target>());
    parsed
        .collect::<Result<_, _>>()
        .map_err(|error| in_words_of(error, &[("targets", field)]))
}

/// The same refusal, under the name that the field has in the caller's message.
pub fn in_words_of(error: SessionError, names: &[(&str, &'static str)]) -> SessionError {
    match error {
        SessionError::BadField {
            field,
            value,
            allowed,
        } => {
            let named = names.iter().find(|(ours, _)| *ours == field);
            SessionError::BadField {
                field: named.map_or(field, |(_, name)| *name),
                value,
                allowed,
            }
        }
        SessionError::Ended { .. }
        | SessionError::Exhausted { .. }
        | SessionError::Exists { .. }
        | SessionError::HelloTimeout { .. }
        | SessionError::NotOwner { .. }
        | SessionError::Unavailable(_)
        | SessionError::Unknown { .. } => error,
    }
}

fn at_most(field: &'static str, length: usize, most: usize) -> Result<(), SessionError> {
    if length <= most {
        return Ok(());
    }
    let allowed: Cow<'static, str> = format!("at most {most}").into();
    Err(SessionError::bad_field(
        field,
        format_args!("{length} of them"),
        allowed,
    ))
}

fn old_role(field: &'static str, text: &str) -> Result<Role, SessionError> {
    match text {
        "CONS" => Ok(Role::Consumer),
        "PROD" => Ok(Role::Producer),
        _ => Err(SessionError::bad_field(field, text, "PROD or CONS")),
    }
}

fn optional_role(text: &str) -> Result<Option<Role>, SessionError> {
    match text {
        "" => Ok(None),
        role => old_role("role", role).map(Some),
    }
}

fn own_role(number: i32) -> Result<Role, SessionError> {
    match own::Role::try_from(number) {
        Ok(own::Role::Consumer) => Ok(Role::Consumer),
        Ok(own::Role::Producer) => Ok(Role::Producer),
        Ok(own::Role::Unspecified) | Err(_) => {
            let allowed = "ROLE_PRODUCER (1) or ROLE_CONSUMER (2)";
            Err(SessionError::bad_field("role", number, allowed))
        }
    }
}

/// A rate that holds at least one byte a second, or none.
fn bits(field: &'static str, rate: u64) -> Result<Option<Rate>, SessionError> {
    if (1..8).contains(&rate) {
        let allowed = "at least 8 bits per second, or 0 for none";
        return Err(SessionError::bad_field(field, rate, allowed));
    }
    Ok((rate > 0).then(|| Rate::from_bits(rate)))
}

fn time(
    field: &'static str,
    message: Option<prost_types::Duration>,
) -> Result<Option<Duration>, SessionError> {
    let Some(prost_types::Duration { seconds, nanos }) = message else {
        return Ok(None);
    };
    let whole = u64::try_from(seconds).ok();
    let rest = u32::try_from(nanos)
        .ok()
        .filter(|nanos| *nanos < 1_000_000_000);
    let time = whole
        .zip(rest)
        .map(|(whole, rest)| Duration::new(whole, rest));
    match time.filter(|time| *time <= LONGEST) {
        Some(time) => Ok(Some(time)),
        None => {
            let value = format_args!("{seconds} s and {nanos} ns");
            Err(SessionError::bad_field(field, value, "0 s to 100 years"))
        }
    }
}

/// Where callers are told to connect for a listener.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The host, where it is not the one that is bound.
    pub host: Option<crate::config::AdvertisedHost>,
    /// Ports, where they are not those that are bound.
    pub ports: Vec<crate::config::PortMapping>,
}

impl Told {
    /// What a caller whose call arrived at `arrived` is told of a listener: never a wildcard.
    pub fn listener(&self, bound: SocketAddr, arrived: Option<SocketAddr>) -> String {
        let mut mapped = self.ports.iter().filter_map(|map| map.tell(bound.port()));
        let port = mapped.next().unwrap_or(bound.port());
        let own = match arrived {
            Some(arrived) if bound.ip().is_unspecified() => arrived.ip(),
            Some(_) | None => bound.ip(),
        };
        match &self.host {
            Some(host) => host.with_port(port),
            None => crate::config::AdvertisedHost::from(own).with_port(port),
        }
    }
}

#[cfg(test)]
mod tests;
