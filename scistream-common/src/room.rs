//! Whether a segment may be redirected: the room gate.
//!
//! A sockmap redirect has no back-pressure: the kernel acknowledges the bytes and queues them
//! without bound. So the verdict redirects only what fits into the egress socket's send buffer at
//! once and passes the rest to user space, where it stays charged to the ingress socket and closes
//! its window. Two rules keep the order:
//!
//! * while user space owes older passed bytes, the next ones are passed too;
//! * user space writes passed bytes only after everything redirected before them was queued.

/// `TCP_ESTABLISHED` of `include/net/tcp_states.h`.
pub const TCP_ESTABLISHED: u8 = 1;
/// `TCP_CLOSE_WAIT` of `include/net/tcp_states.h`: the peer has half-closed, we may still send.
pub const TCP_CLOSE_WAIT: u8 = 8;

/// Fixed charge of a segment beside its payload: `sk_buff`, headers, rounding.
const SEGMENT_OVERHEAD: u64 = 4096;

/// What the verdict knows about the direction.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// Bytes redirected so far.
    pub redirected: u64,
    /// Bytes passed so far.
    pub passed: u64,
    /// Of those, the bytes user space has written to the egress socket.
    pub forwarded: u64,
    /// The egress socket's `write_seq` before the first of them.
    pub write_base: u32,
    /// Whether the previous verdict passed.
    pub passing: bool,
}

/// What the verdict reads from the egress socket, without its lock.
#[derive(Clone, Copy, Debug)]
pub struct Egress {
    /// `sock_common.skc_state`.
    pub state: u8,
    /// `tcp_sock.write_seq`: sequence number after the last byte queued.
    pub write_seq: u32,
    /// `sock.sk_sndbuf`, bytes of truesize.
    pub sndbuf: i32,
    /// `sock.sk_wmem_queued`, bytes of truesize.
    pub wmem_queued: i32,
}

/// Why a segment was passed instead of redirected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Decline {
    /// The egress socket is not in a state that sends.
    EgressClosed,
    /// The send buffer has too little room.
    NoRoom,
    /// User space still owes older bytes.
    Owed,
}

/// Decides over a segment of `len` bytes.
///
/// `owed` is what was moved in this direction but has not reached the egress socket's write queue:
/// it will need room before this segment does. After a pass, half of the buffer must be free
/// (hysteresis), else the mode would flip at every acknowledgement.
///
/// # Errors
/// The reason to pass the segment.
#[inline(always)]
pub fn decide(flow: &Flow, egress: &Egress, len: u32) -> Result<(), Decline> {
    if flow.passed != flow.forwarded {
        return Err(Decline::Owed);
    }
    if egress.state != TCP_ESTABLISHED && egress.state != TCP_CLOSE_WAIT {
        return Err(Decline::EgressClosed);
    }
    let moved = flow.redirected.wrapping_add(flow.forwarded) as u32;
    let owed = moved.wrapping_sub(egress.write_seq.wrapping_sub(flow.write_base));
    let len = u64::from(len);
    let need = u64::from(owed) + len + len / 4 + SEGMENT_OVERHEAD;
    let sndbuf = egress.sndbuf.max(0) as u64;
    let queued = egress.wmem_queued.max(0) as u64;
    let need = if flow.passing {
        need + sndbuf / 2
    } else {
        need
    };
    if sndbuf <= queued + need {
        return Err(Decline::NoRoom);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOW: Flow = Flow {
        redirected: 1000,
        passed: 50,
        forwarded: 50,
        write_base: 7,
        passing: false,
    };
    const EGRESS: Egress = Egress {
        state: TCP_ESTABLISHED,
        write_seq: 7 + 1050,
        sndbuf: 100_000,
        wmem_queued: 0,
    };

    #[test]
    fn room_redirects() {
        assert_eq!(decide(&FLOW, &EGRESS, 1448), Ok(()));
    }

    #[test]
    fn owed_bytes_pass_whatever_the_room() {
        let flow = Flow {
            forwarded: 49,
            ..FLOW
        };
        assert_eq!(decide(&flow, &EGRESS, 1), Err(Decline::Owed));
    }

    #[test]
    fn closed_egress_passes() {
        for state in [0, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12] {
            let egress = Egress { state, ..EGRESS };
            assert_eq!(
                decide(&FLOW, &egress, 1),
                Err(Decline::EgressClosed),
                "state {state}"
            );
        }
        let egress = Egress {
            state: TCP_CLOSE_WAIT,
            ..EGRESS
        };
        assert_eq!(decide(&FLOW, &egress, 1), Ok(()));
    }

    #[test]
    fn backlog_counts_against_the_room() {
        let flow = Flow {
            redirected: FLOW.redirected + 95_000,
            ..FLOW
        };
        assert_eq!(decide(&flow, &EGRESS, 1448), Err(Decline::NoRoom));
    }

    #[test]
    fn hysteresis_wants_half_the_buffer() {
        let egress = Egress {
            wmem_queued: 50_000,
            ..EGRESS
        };
        assert_eq!(decide(&FLOW, &egress, 1448), Ok(()));
        let passing = Flow {
            passing: true,
            ..FLOW
        };
        assert_eq!(decide(&passing, &egress, 1448), Err(Decline::NoRoom));
    }

    #[test]
    fn sequence_numbers_wrap() {
        let flow = Flow {
            write_base: u32::MAX - 500,
            ..FLOW
        };
        let egress = Egress {
            write_seq: (u32::MAX - 500).wrapping_add(1050),
            ..EGRESS
        };
        assert_eq!(decide(&flow, &egress, 1448), Ok(()));
    }

    #[test]
    fn counters_wrap_past_four_gigabytes() {
        let flow = Flow {
            redirected: (1 << 32) + 1000,
            ..FLOW
        };
        assert_eq!(decide(&flow, &EGRESS, 1448), Ok(()));
    }
}
