//! Congestion control of one host.
//!
//! A namespace's default may only be one of the *host's* `tcp_allowed_congestion_control`, which a lab
//! must not change: others would feel it. A route may name any one that the kernel has, and TCP
//! heeds it for connections either way.

use std::io;

use anyhow::{Context as _, Result};

use super::Family;
use crate::netns::Netns;

const DEFAULT: &str = "net.ipv4.tcp_congestion_control";

/// Makes `name` the congestion control of all connections of `host`, by the routes it has now.
pub(super) fn set(host: &Netns, name: &str) -> Result<()> {
    let Err(error) = host.set_sysctl(DEFAULT, name) else {
        return Ok(());
    };
    let cause = error.downcast_ref::<io::Error>();
    if cause.map(io::Error::kind) != Some(io::ErrorKind::PermissionDenied) {
        return Err(error.context(format!("does this kernel have {name}?")));
    }
    for family in Family::ALL {
        by_routes(host, family, name)
            .with_context(|| format!("cannot set the congestion control {name}"))?;
    }
    Ok(())
}

fn by_routes(host: &Netns, family: Family, name: &str) -> Result<()> {
    let flag = match family {
        Family::V4 => "-4",
        Family::V6 => "-6",
    };
    for route in host.ip(&[flag, "route", "show"])?.lines() {
        let mut words: Vec<&str> = route.split_whitespace().collect();
        // Every device has this one; changing one of them would change another's.
        if words.first().is_none_or(|first| first.starts_with("fe80:")) {
            continue;
        }
        if let Some(at) = words.iter().position(|word| *word == "congctl") {
            words.drain(at..words.len().min(at + 2));
        }
        host.ip(&[
            &[flag, "route", "change"],
            words.as_slice(),
            &["congctl", name],
        ]
        .concat())?;
    }
    Ok(())
}
