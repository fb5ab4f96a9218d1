//! The binary `s2cs` as an operator and its peers see it: command line, log, exit codes, sockets.
//!
//! Everything runs on loopback with ports the kernel picks; on the copy plane where the plane does
//! not matter, so that no privilege is needed.

#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod gateway;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod probe;
#[cfg(test)]
mod relaying;
#[cfg(test)]
mod shutdown;
