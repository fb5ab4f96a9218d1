//! Sizes that the maps and the daemon agree on.

/// Connections one gateway carries on the sockmap plane.
pub const MAX_CONNECTIONS: u32 = 65_536;
/// Direction slots: two for each connection.
pub const MAX_DIRECTIONS: u32 = 2 * MAX_CONNECTIONS;
/// Bytes of the notice ring: a header of 8 and a notice of 8 for every direction.
pub const NOTICE_RING_BYTES: u32 = MAX_DIRECTIONS * 16;
