//! The same-host hop: finds the sockets of applications on the gateway host.
//!
//! A cgroup's socket-operations program remembers each connection that has both ends on this host
//! and touches a watched port. When the daemon takes the other end over, it looks the application's
//! socket up here and gives its direction a slot; from then on the message program may put what the
//! application sends straight into the egress socket's queue.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};

use aya::Ebpf;
use aya::maps::{HashMap, MapData, SockHash};
use aya::programs::{
    CgroupAttachMode, SchedClassifier, SkMsg, SockOps, TestRun as _, TestRunOptions,
};
use scistream_common::{LocalEnds, LocalSocket, names};

use super::program::{SockmapError, load, take};

/// The maps of the same-host hop, once its programs are attached.
pub(super) struct LocalApps {
    ends: HashMap<MapData, [u8; 36], [u8; 16]>,
    watched: HashMap<MapData, u16, u32>,
    hops: HashMap<MapData, u64, u32>,
    /// Keeps the map that holds the message program.
    _sockets: SockHash<MapData, u64>,
}

impl LocalApps {
    /// Loads and attaches both programs: applications in `cgroup` are tracked from now on.
    pub(super) fn attach(ebpf: &mut Ebpf, cgroup: &File) -> Result<Self, SockmapError> {
        let sockets = SockHash::try_from(take(ebpf, names::LOCAL_APPS)?)?;
        let messages: &mut SkMsg = ebpf
            .program_mut(names::REDIRECT_MESSAGE)
            .ok_or(SockmapError::Missing(names::REDIRECT_MESSAGE))?
            .try_into()
            .map_err(Box::new)?;
        load(|| messages.load())?;
        messages.attach(sockets.fd()).map_err(Box::new)?;
        let tracker: &mut SockOps = ebpf
            .program_mut(names::TRACK_LOCAL_APPS)
            .ok_or(SockmapError::Missing(names::TRACK_LOCAL_APPS))?
            .try_into()
            .map_err(Box::new)?;
        load(|| tracker.load())?;
        // A link allows others beside it by itself; the kernel takes no mode for one.
        tracker
            .attach(cgroup, CgroupAttachMode::Single)
            .map_err(Box::new)?;
        let resolver = classifier(ebpf)?;
        load(|| resolver.load())?;
        Ok(Self {
            ends: HashMap::try_from(take(ebpf, names::LOCAL_ENDS)?)?,
            watched: HashMap::try_from(take(ebpf, names::WATCHED)?)?,
            hops: HashMap::try_from(take(ebpf, names::HOPS)?)?,
            _sockets: sockets,
        })
    }

    /// Has the message program judge what the application's socket sends by `slot`.
    pub(super) fn join(&mut self, cookie: u64, slot: u32) -> Result<(), SockmapError> {
        Ok(self.hops.insert(cookie, slot, 0)?)
    }

    /// The socket's messages go the ordinary way again.
    pub(super) fn part(&mut self, cookie: u64) {
        let _never_joined = self.hops.remove(&cookie);
    }

    /// Tracks connections to (a listener's) or from (a target's) `port`.
    pub(super) fn watch(&mut self, port: u16) -> Result<(), SockmapError> {
        Ok(self.watched.insert(port, 1, 0)?)
    }

    /// Has the message program know the egress socket `cookie` of `slot`.
    pub(super) fn resolve(ebpf: &mut Ebpf, cookie: u64, slot: u32) -> Result<(), SockmapError> {
        let mut question = [0; 64];
        question[16..24].copy_from_slice(&cookie.to_ne_bytes());
        question[24..28].copy_from_slice(&slot.to_ne_bytes());
        let options = TestRunOptions {
            data_in: Some(&question),
            ..TestRunOptions::new()
        };
        let answer = classifier(ebpf)?.test_run(options).map_err(Box::new)?;
        if answer.return_value == 1 {
            Ok(())
        } else {
            Err(SockmapError::Unresolved)
        }
    }

    /// The application's socket whose connection the gateway sees as `ours` to `peer`.
    pub(super) fn find(&self, ours: SocketAddr, peer: SocketAddr) -> Option<LocalSocket> {
        let ends = LocalEnds {
            local: octets(peer.ip()),
            remote: octets(ours.ip()),
            local_port: peer.port(),
            remote_port: ours.port(),
        };
        self.ends
            .get(&ends.to_bytes(), 0)
            .ok()
            .map(LocalSocket::from_bytes)
    }
}

fn classifier(ebpf: &mut Ebpf) -> Result<&mut SchedClassifier, SockmapError> {
    let program = ebpf.program_mut(names::RESOLVE_EGRESS);
    let program = program.ok_or(SockmapError::Missing(names::RESOLVE_EGRESS))?;
    Ok(program.try_into().map_err(Box::new)?)
}

fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}
