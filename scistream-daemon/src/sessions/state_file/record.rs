//! Sessions as JSON: what the state file holds. Every value is parsed as if it came from a caller.

use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::session::exchange::Terms;
use crate::session::{
    CreateSession, Greeting, Principal, Rate, Role, SavedSession, SessionError, Target,
};

/// What the file says it is.
const FORMAT: &str = "s2cs sessions";

/// Goes up with every change that an older s2cs would misread.
const VERSION: u64 = 1;

/// Why a text is no state of ours.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It is not the JSON that is written.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// It is a folder, a pipe or a device.
    #[error("it is no file")]
    NoFile,
    /// A session in it cannot be.
    #[error("its session {uid}: {cause}")]
    Session {
        /// Its uid, made printable.
        uid: String,
        /// What is wrong with it.
        cause: SessionError,
    },
    /// Another version wrote it.
    #[error("it is of version {found}, and not {known}")]
    Version {
        /// Its version.
        found: u64,
        /// Ours.
        known: u64,
    },
}

/// One moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    pub(super) instant: Instant,
    pub(super) wall: SystemTime,
}

/// What is looked at before the rest is understood.
#[derive(Deserialize)]
struct Head {
    format: String,
    version: u64,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct State {
    format: String,
    version: u64,
    sessions: Vec<Record>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Record {
    uid: String,
    owner: String,
    /// Milliseconds since the beginning of 1970, as all moments here.
    created: u64,
    active: u64,
    expires: Option<u64>,
    ports: Vec<u16>,
    targets: Vec<String>,
    announced: Vec<String>,
    granted: Granted,
    asked: Asked,
}

/// [`Terms`] beside what the session itself says.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Granted {
    sources: Vec<String>,
    max_connections: Option<u32>,
    /// Bytes per second, as all rates here.
    reserved: u64,
    max_rate: Option<u64>,
    lifetime: Option<Duration>,
    idle_timeout: Option<Duration>,
}

/// [`CreateSession`], whole: a repetition must be known by it.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    uid: Option<String>,
    role: Side,
    listeners: u32,
    hello: Awaits,
    rate: Option<u64>,
    reserved: Option<u64>,
    max_rate: Option<u64>,
    targets: Vec<String>,
    label: Option<String>,
    idempotency_key: Option<String>,
    lifetime: Option<Duration>,
    idle_timeout: Option<Duration>,
    sources: Vec<String>,
    max_connections: Option<u32>,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Side {
    Consumer,
    Producer,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Awaits {
    Awaited(Option<Duration>),
    None,
}

impl Clocks {
    pub(super) fn now() -> Self {
        Self {
            instant: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    /// A moment of this process as the wall clock has it, in milliseconds.
    fn to_wall(self, at: Instant) -> u64 {
        let wall = match at.checked_duration_since(self.instant) {
            Some(later) => self.wall.checked_add(later),
            None => self
                .wall
                .checked_sub(self.instant.saturating_duration_since(at)),
        };
        let since = wall.and_then(|wall| wall.duration_since(UNIX_EPOCH).ok());
        let milliseconds = since.unwrap_or_default().as_millis();
        u64::try_from(milliseconds).unwrap_or(u64::MAX)
    }

    /// A moment of the wall clock as this process has it; one that no clock reaches is now.
    fn to_instant(self, milliseconds: u64) -> Instant {
        let wall = UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds));
        let wall = wall.unwrap_or(self.wall);
        let instant = match wall.duration_since(self.wall) {
            Ok(later) => self.instant.checked_add(later),
            Err(earlier) => self.instant.checked_sub(earlier.duration()),
        };
        instant.unwrap_or(self.instant)
    }
}

/// The file's text.
pub(super) fn text(sessions: &[SavedSession], clocks: Clocks) -> Vec<u8> {
    let records = sessions.iter().map(|saved| Record::of(saved, clocks));
    let state = State {
        format: FORMAT.to_owned(),
        version: VERSION,
        sessions: records.collect(),
    };
    // Numbers, text and lists: there is nothing in it that JSON cannot say.
    let mut text = serde_json::to_vec(&state).unwrap_or_default();
    text.push(b'\n');
    text
}

/// The sessions that a text holds.
pub(super) fn parse(text: &[u8], clocks: Clocks) -> Result<Vec<SavedSession>, RecordError> {
    let Head { format, version } = serde_json::from_slice(text)?;
    if format != FORMAT {
        let other = format!("it says that it is `{}`", format.escape_debug());
        return Err(RecordError::Json(serde::de::Error::custom(other)));
    }
    if version != VERSION {
        return Err(RecordError::Version {
            found: version,
            known: VERSION,
        });
    }
    let State { sessions, .. } = serde_json::from_slice(text)?;
    let parsed = sessions.into_iter().map(|record| {
        let uid: String = record.uid.escape_debug().take(128).collect();
        let saved = record.into_saved(clocks);
        saved.map_err(|cause| RecordError::Session { uid, cause })
    });
    parsed.collect()
}

impl Record {
    fn of(saved: &SavedSession, clocks: Clocks) -> Self {
        let SavedSession {
            terms,
            owner,
            request,
            ports,
            targets,
            announced,
            created,
            active,
            expires,
        } = saved;
        Self {
            uid: terms.id.to_string(),
            owner: owner.to_string(),
            created: clocks.to_wall(*created),
            active: clocks.to_wall(*active),
            expires: expires.map(|at| clocks.to_wall(at)),
            ports: ports.clone(),
            targets: texts(targets),
            announced: texts(announced),
            granted: Granted::of(terms),
            asked: Asked::of(request),
        }
    }

    fn into_saved(self, clocks: Clocks) -> Result<SavedSession, SessionError> {
        let Self {
            uid,
            owner,
            created,
            active,
            expires,
            ports,
            targets,
            announced,
            granted,
            asked,
        } = self;
        let terms = granted.into_terms(&uid, ports.len())?;
        let saved = SavedSession {
            terms: Arc::new(terms),
            owner: Principal::new(owner),
            request: Arc::new(asked.into_request()?),
            targets: parsed(&targets)?,
            announced: parsed(&announced)?,
            created: clocks.to_instant(created),
            active: clocks.to_instant(active),
            expires: expires.map(|at| clocks.to_instant(at)),
            ports,
        };
        if saved.adds_up() {
            return Ok(saved);
        }
        let allowed = "a port for each listener, and a target for each or for none";
        let ports = format!("{:?}", saved.ports);
        Err(SessionError::bad_field("ports", ports, allowed))
    }
}

impl Granted {
    fn of(terms: &Terms) -> Self {
        let Terms {
            id: _,
            listeners: _,
            sources,
            max_connections,
            reserved,
            max_rate,
            lifetime,
            idle_timeout,
        } = terms;
        Self {
            sources: texts(sources),
            max_connections: *max_connections,
            reserved: reserved.to_bytes(),
            max_rate: max_rate.map(Rate::to_bytes),
            lifetime: *lifetime,
            idle_timeout: *idle_timeout,
        }
    }

    fn into_terms(self, uid: &str, listeners: usize) -> Result<Terms, SessionError> {
        let Self {
            sources,
            max_connections,
            reserved,
            max_rate,
            lifetime,
            idle_timeout,
        } = self;
        Ok(Terms {
            id: uid.parse()?,
            listeners,
            sources: parsed(&sources)?,
            max_connections,
            reserved: Rate::from_bytes(reserved),
            max_rate: max_rate.map(Rate::from_bytes),
            lifetime,
            idle_timeout,
        })
    }
}

impl Asked {
    fn of(request: &CreateSession) -> Self {
        let CreateSession {
            id,
            role,
            listeners,
            greeting,
            rate,
            reserved,
            max_rate,
            targets,
            label,
            submission,
            lifetime,
            idle_timeout,
            sources,
            max_connections,
        } = request;
        Self {
            uid: id.as_ref().map(ToString::to_string),
            role: match role {
                Role::Consumer => Side::Consumer,
                Role::Producer => Side::Producer,
            },
            listeners: *listeners,
            hello: match greeting {
                Greeting::Awaited(limit) => Awaits::Awaited(*limit),
                Greeting::NotNeeded => Awaits::None,
            },
            rate: rate.map(Rate::to_bytes),
            reserved: reserved.map(Rate::to_bytes),
            max_rate: max_rate.map(Rate::to_bytes),
            targets: texts(targets),
            label: label.as_ref().map(ToString::to_string),
            idempotency_key: submission.as_ref().map(ToString::to_string),
            lifetime: *lifetime,
            idle_timeout: *idle_timeout,
            sources: texts(sources),
            max_connections: *max_connections,
        }
    }

    fn into_request(self) -> Result<CreateSession, SessionError> {
        let Self {
            uid,
            role,
            listeners,
            hello,
            rate,
            reserved,
            max_rate,
            targets,
            label,
            idempotency_key,
            lifetime,
            idle_timeout,
            sources,
            max_connections,
        } = self;
        Ok(CreateSession {
            id: uid.map(|uid| uid.parse()).transpose()?,
            role: match role {
                Side::Consumer => Role::Consumer,
                Side::Producer => Role::Producer,
            },
            listeners,
            greeting: match hello {
                Awaits::Awaited(limit) => Greeting::Awaited(limit),
                Awaits::None => Greeting::NotNeeded,
            },
            rate: rate.map(Rate::from_bytes),
            reserved: reserved.map(Rate::from_bytes),
            max_rate: max_rate.map(Rate::from_bytes),
            targets: parsed::<Target>(&targets)?,
            label: label.map(|label| label.parse()).transpose()?,
            submission: idempotency_key.map(|key| key.parse()).transpose()?,
            lifetime,
            idle_timeout,
            sources: parsed(&sources)?,
            max_connections,
        })
    }
}

fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

fn parsed<T: FromStr<Err = SessionError>>(texts: &[String]) -> Result<Vec<T>, SessionError> {
    texts.iter().map(|text| text.parse()).collect()
}
