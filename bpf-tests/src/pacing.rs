//! What the kernel holds TCP sockets to (`SO_MAX_PACING_RATE`), as `ss` says it: a witness that has
//! nothing of ours in it.

use anyhow::{Context as _, Result};

use crate::command;
use crate::netns::Place;

/// The most that each established socket at `place` may send, bytes per second, `None` for no limit;
/// of those sockets that ss(8)'s `filter` names, such as `dport = :5201`.
///
/// # Errors
/// Without `ss`, or when it says something else than it used to.
pub fn limits(place: Place<'_>, filter: &str) -> Result<Vec<Option<u64>>> {
    let mut ss = place.command("ss");
    ss.args(["-t", "-i", "-n", "-H", "-O", "state", "established"]);
    let sockets = command::run(ss.arg(format!("( {filter} )")))?;
    sockets.lines().map(limit).collect()
}

/// The second rate of `pacing_rate 118176 bps/80000000 bps`, which is there only when a limit was
/// set; bits per second.
fn limit(socket: &str) -> Result<Option<u64>> {
    let odd = || format!("ss says nothing that is known of pacing: `{socket}`");
    let (_, rates) = socket.split_once(" pacing_rate ").with_context(odd)?;
    let (_now, rest) = rates.split_once("bps").with_context(odd)?;
    let Some(most) = rest.strip_prefix('/') else {
        return Ok(None);
    };
    let (most, _) = most.split_once("bps").with_context(odd)?;
    let bits: u64 = most.trim().parse().ok().with_context(odd)?;
    Ok(Some(bits / 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_told_from_a_rate_and_from_nothing() {
        let socket = "0 0 127.0.0.1:1 127.0.0.1:2 cubic wscale:7,7 pacing_rate 118176 bps/80000000 bps delivered:1";
        assert_eq!(limit(socket).unwrap(), Some(10_000_000));
        let unlimited =
            "0 0 127.0.0.1:1 127.0.0.1:2 cubic pacing_rate 118176 bps delivery_rate 9 bps/1";
        assert_eq!(limit(unlimited).unwrap(), None);
        assert!(limit("0 0 127.0.0.1:1 127.0.0.1:2 cubic wscale:7,7").is_err());
    }
}
