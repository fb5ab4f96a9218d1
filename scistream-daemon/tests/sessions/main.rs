//! Sessions: the registry under random calls, and the running ones on loopback, with real sockets on
//! ports that the kernel picks, on every plane that needs no privilege.

#[cfg(test)]
mod calls;
#[cfg(test)]
mod ending;
#[cfg(test)]
mod rates;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod traffic;
