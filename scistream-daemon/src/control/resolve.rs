//! The addresses of targets, for rules that go by addresses.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::timeout;

use crate::policy::AskedTarget;
use crate::session::Target;

/// How long the resolver may take for all of them.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The targets with the addresses they have at this moment; a name that has none in time has none.
pub(super) async fn resolve(targets: &[Target]) -> Vec<AskedTarget> {
    let mut asked: Vec<AskedTarget> = targets.iter().map(unresolved).collect();
    let resolving = async {
        for target in &mut asked {
            if let Some(name) = &target.name {
                let found = lookup_host((name.as_str(), target.port)).await;
                target.addresses = found.map(distinct).unwrap_or_default();
            }
        }
    };
    // What is not resolved by then is judged by its name alone.
    let _in_time = timeout(RESOLVE_TIMEOUT, resolving).await;
    asked
}

fn unresolved(target: &Target) -> AskedTarget {
    let literal = target.literal();
    AskedTarget {
        name: literal.is_none().then(|| target.host().to_owned()),
        addresses: literal.iter().map(SocketAddr::ip).collect(),
        port: target.port(),
    }
}

fn distinct(found: impl Iterator<Item = SocketAddr>) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for address in found {
        if !addresses.contains(&address.ip()) {
            addresses.push(address.ip());
        }
    }
    addresses
}
