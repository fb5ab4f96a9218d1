//! Sizes that the maps and the daemon agree on.

/// Connections one gateway carries on the sockmap plane.
pub const MAX_CONNECTIONS: u32 = 65_536;
/// Direction slots: two for each connection.
pub const MAX_DIRECTIONS: u32 = 2 * MAX_CONNECTIONS;
/// Bytes of the notice ring: a header of 8 and a notice of 8 for 4,096 directions. A direction has one
/// notice there at most until user space caught up with it; when more wait than fit, the workers look
/// at all their directions. Whoever maps the ring has its bytes resident twice.
pub const NOTICE_RING_BYTES: u32 = 64 << 10;
