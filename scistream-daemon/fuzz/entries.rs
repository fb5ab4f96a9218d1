//! What the fuzz targets, and the ordinary test that replays their corpora, put arbitrary bytes into.

use std::path::Path;

use prost::Message;
use scistream_daemon::config::Settings;
use scistream_daemon::control::convert;
use scistream_daemon::session::SessionError;
use scistream_daemon::wire::{gateway, scistream};

/// Takes the bytes for each message there is, and each message for what it asks. A refusal names the
/// field and is short; what is accepted is within its bounds.
pub(crate) fn convert(bytes: &[u8]) {
    if let Ok(message) = scistream::Request::decode(bytes)
        && let Some(session) = accepted(convert::req(message))
    {
        assert!(session.listeners > 0 && session.id.is_some());
    }
    if let Ok(message) = scistream::UpdateTargets::decode(bytes)
        && let Some((_id, targets)) = accepted(convert::update(&message))
    {
        assert!((1..=convert::TARGETS_MAX).contains(&targets.len()));
    }
    if let Ok(message) = scistream::Hello::decode(bytes)
        && let Some((id, hello)) = accepted(convert::hello(&message))
    {
        assert!(!id.as_str().contains('/') && hello.targets.len() <= convert::TARGETS_MAX);
    }
    if let Ok(message) = gateway::CreateSessionRequest::decode(bytes)
        && let Some(session) = accepted(convert::create(message))
    {
        assert!(session.listeners > 0 && session.sources.len() <= convert::SOURCES_MAX);
    }
    if let Ok(message) = gateway::UpdateTargetsRequest::decode(bytes)
        && let Some(targets) = accepted(convert::own_targets(&message.targets))
    {
        assert!(targets.iter().all(|target| target.port() != 0));
    }
    if let Ok(message) = gateway::DrainRequest::decode(bytes) {
        accepted(convert::drain(message.drain));
    }
}

/// Takes the bytes for a settings file. A refusal is a sentence; what is accepted makes a policy.
pub(crate) fn config(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    match Settings::from_toml(Path::new("fuzz.toml"), text) {
        Ok(settings) => assert_eq!(settings.policy().rules.len(), settings.rules.len()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn accepted<T>(outcome: Result<T, SessionError>) -> Option<T> {
    match outcome {
        Ok(value) => Some(value),
        Err(SessionError::BadField {
            field,
            value,
            allowed,
        }) => {
            let sentence = SessionError::BadField {
                field,
                value,
                allowed,
            }
            .to_string();
            assert!(!field.is_empty() && sentence.len() < 2_048, "{sentence}");
            assert!(!sentence.contains(char::is_control), "{sentence:?}");
            None
        }
        Err(other) => panic!("a conversion knows of no sessions: {other}"),
    }
}
