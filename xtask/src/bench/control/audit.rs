//! The gateway's record of calls, for how long it took over each.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

/// How long the gateway may take to write what it has answered.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// A line of it.
#[derive(Clone, Debug, Deserialize)]
struct Line {
    call: String,
    #[serde(default)]
    uid: String,
    result: String,
    took_us: u64,
}

/// How long the gateway took over the calls of some sessions, µs.
#[derive(Debug)]
pub(super) struct Took {
    by_session: BTreeMap<String, Vec<(String, u64)>>,
}

impl Took {
    /// Reads `count` calls about sessions whose uids begin with `name` and a dash.
    ///
    /// Errors when they are not on record in time, or one of them failed.
    pub(super) fn read(file: &Path, name: &str, count: usize) -> Result<Self> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            let lines = parse(&text, &format!("{name}-"))?;
            if lines.len() >= count {
                return Self::of(lines);
            }
            ensure!(
                Instant::now() < deadline,
                "the gateway has {} of {count} calls on record",
                lines.len()
            );
            std::thread::sleep(LOOK_INTERVAL);
        }
    }

    fn of(lines: Vec<Line>) -> Result<Self> {
        let mut by_session: BTreeMap<String, Vec<(String, u64)>> = BTreeMap::new();
        for line in lines {
            let Line {
                call,
                uid,
                result,
                took_us,
            } = line;
            ensure!(result == "OK", "{call} of {uid} was answered {result}");
            let method = call.rsplit('/').next().unwrap_or_default().to_owned();
            by_session.entry(uid).or_default().push((method, took_us));
        }
        Ok(Self { by_session })
    }

    /// Of each session, the sum over its calls.
    pub(super) fn sums(&self) -> Vec<u64> {
        let sum = |calls: &Vec<(String, u64)>| calls.iter().map(|(_, took)| took).sum();
        self.by_session.values().map(sum).collect()
    }

    /// Of each call of `method`.
    pub(super) fn of_method(&self, method: &str) -> Vec<u64> {
        let calls = self.by_session.values().flatten();
        let own = calls.filter(|(called, _)| called == method);
        own.map(|(_, took)| *took).collect()
    }
}

/// The whole lines about sessions whose uids begin with `prefix`.
fn parse(text: &str, prefix: &str) -> Result<Vec<Line>> {
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let mut lines = Vec::new();
    for line in whole.lines() {
        let line: Line = serde_json::from_str(line)
            .with_context(|| format!("`{line}` is no line of an audit log"))?;
        if line.uid.starts_with(prefix) {
            lines.push(line);
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = r#"{"time":"t","call":"scistream.Control/req","who":"x","uid":"a-1","result":"OK","from":null,"took_us":700}
{"time":"t","call":"scistream.Control/hello","who":"x","uid":"a-1","result":"OK","from":null,"took_us":200}
{"time":"t","call":"scistream.Control/req","who":"x","uid":"b-1","result":"OK","from":null,"took_us":9}
{"time":"t","call":"scistream.Contr"#;

    #[test]
    fn the_calls_of_a_session_add_up_and_half_a_line_waits() {
        let took = Took::of(parse(LOG, "a-").unwrap()).unwrap();
        assert_eq!(took.sums(), [900]);
        assert_eq!(took.of_method("hello"), [200]);
        assert_eq!(took.of_method("update"), Vec::<u64>::new());
    }

    #[test]
    fn a_refusal_is_no_time_to_be_counted() {
        let refused = LOG.replace(
            "\"OK\",\"from\":null,\"took_us\":200",
            "\"NOT_FOUND\",\"from\":null,\"took_us\":200",
        );
        let error = Took::of(parse(&refused, "a-").unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "scistream.Control/hello of a-1 was answered NOT_FOUND"
        );
    }
}
