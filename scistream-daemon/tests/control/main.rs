//! The control port from outside: raw gRPC calls over TLS to a gateway in this process, and the
//! command `s2cs`. Everything is on loopback with ports the kernel picks, on the copy plane.

#[cfg(test)]
mod audit;
#[cfg(test)]
mod bad_fields;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod connect;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod defects;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod issuer;
#[cfg(test)]
mod issuers;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod old_protocol;
#[cfg(test)]
mod own_protocol;
#[cfg(test)]
mod raw;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod transport;
