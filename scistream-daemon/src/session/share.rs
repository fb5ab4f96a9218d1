//! How bandwidth is shared out: a session's cap among its connections, and the gateway's capacity
//! among its sessions. Pure; a controller asks anew several times a second with what was used since.
//!
//! Both deal max-min: whoever wants less than an equal part gets that, and the others share the rest
//! alike. What somebody wants is not seen, only what is used. Who used nearly all of its part, or had
//! none, may want twice that next; who left some of its part wants about what it used. So a connection
//! that wakes up has its part after a few rounds, and none keeps what it does not use.
//!
//! A cap is never given out twice. A gateway's capacity is: a session that is content is held a quarter
//! above what it uses and charged with what it uses, so that the others have all the rest; should it
//! grow, they are cut a round later.

use super::rate::Rate;

/// Of a cap, the part kept for connections that are quiet: they start with it.
const QUIET_PART: u64 = 50;

/// The slowest pace that anyone is held to: below, a segment takes longer than patience.
const LEAST: Rate = Rate::from_bytes(8 * 1024);

/// What someone did since the last time.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// The rate it used.
    pub used: Rate,
    /// What it was held to; `None` for nothing.
    pub pace: Option<Rate>,
}

impl Usage {
    /// What a connection may want next, bytes per second.
    fn appetite(self) -> u64 {
        let used = self.used.to_bytes();
        if self.pace.is_some() && !self.uses(8) {
            used.saturating_add(used / 8)
        } else {
            used.saturating_mul(2)
        }
    }

    /// Whether it uses so many tenths of what it is held to.
    fn uses(self, tenths: u64) -> bool {
        let pace = self.pace.map(Rate::to_bytes);
        pace.is_some_and(|pace| self.used.to_bytes() >= pace / 10 * tenths)
    }

    /// Whether a session wants more than it is held to. One that is content uses four fifths of its
    /// pace, well below.
    fn presses(self) -> bool {
        self.uses(9)
    }
}

/// Shares `cap` among connections by what each did since the last time; `None` for one that is new.
/// The parts add up to the cap, as long as that allows 8 KiB/s for each.
pub fn among_connections(cap: Rate, usages: &[Option<Usage>]) -> Vec<Rate> {
    let number = usages.len() as u64;
    if number == 0 {
        return Vec::new();
    }
    let cap = cap.to_bytes();
    let quiet = (cap / QUIET_PART / number)
        .max(LEAST.to_bytes())
        .min((cap / number).max(1));
    let rest = cap.saturating_sub(quiet * number);
    let wants: Vec<u64> = usages
        .iter()
        .map(|usage| usage.map_or(cap / number, Usage::appetite))
        .collect();
    let mut parts = deal(rest, &wants);
    spread(rest, &mut parts, &wants);
    parts
        .iter()
        .map(|part| Rate::from_bytes(quiet + part))
        .collect()
}

/// What is known of a session in one direction.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Demand {
    /// The rate it reserves.
    pub reserved: Rate,
    /// What it did since the last time.
    pub usage: Usage,
}

/// Holds sessions to paces when they want more than `capacity` together, such that reservations
/// hold; `None` for as fast as it can. Nobody is held while there is enough for all.
///
/// A session is given what it reserves as far as it uses it, and sessions share what is left alike,
/// those that reserve nothing among them. What is reserved and not used is lent out.
pub fn among_sessions(capacity: Rate, demands: &[Demand]) -> Vec<Option<Rate>> {
    if !is_congested(capacity, demands) {
        return vec![None; demands.len()];
    }
    let number = demands.len() as u64;
    let claims: Vec<Claim> = demands.iter().copied().map(Claim::of).collect();
    let guaranteed = claims.iter().map(|claim| claim.guaranteed).sum();
    let left = capacity.to_bytes().saturating_sub(guaranteed);
    let wants: Vec<u64> = claims.iter().map(|claim| claim.wanted).collect();
    let mut parts = deal(left, &wants);
    let growing = claims.iter().map(|claim| match claim.mood {
        Mood::Content => 0,
        Mood::Growing => claim.wanted,
    });
    spread(left, &mut parts, &growing.collect::<Vec<_>>());
    let least = LEAST.to_bytes().max(left / QUIET_PART / number);
    let paces = demands.iter().zip(claims.iter().zip(parts));
    paces
        .map(|(demand, (claim, part))| {
            let own = Rate::from_bytes(claim.pace(part).max(least));
            Some(own.max(demand.reserved))
        })
        .collect()
}

/// What a session is reckoned with.
#[derive(Clone, Copy, Debug)]
struct Claim {
    /// Of its reservation, bytes per second.
    guaranteed: u64,
    /// Beyond that.
    wanted: u64,
    mood: Mood,
}

/// Whether a session has enough.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mood {
    /// It leaves some of what it may use.
    Content,
    /// It may want more.
    Growing,
}

impl Claim {
    fn of(demand: Demand) -> Self {
        let Demand { reserved, usage } = demand;
        let used = usage.used.to_bytes();
        if usage.pace.is_some() && !usage.presses() {
            let guaranteed = used.min(reserved.to_bytes());
            return Self {
                guaranteed,
                wanted: used - guaranteed,
                mood: Mood::Content,
            };
        }
        let guaranteed = guarantee(demand);
        Self {
            guaranteed,
            wanted: used.saturating_mul(2).saturating_sub(guaranteed),
            mood: Mood::Growing,
        }
    }

    /// What it is held to when it is dealt `part` beyond its reservation.
    fn pace(self, part: u64) -> u64 {
        let own = self.guaranteed.saturating_add(part);
        match self.mood {
            Mood::Content if part >= self.wanted => own.saturating_add(own / 4),
            Mood::Content | Mood::Growing => own,
        }
    }
}

/// Whether sessions want more than there is: they use nearly all of it, or use nearly all of what
/// they were held to.
fn is_congested(capacity: Rate, demands: &[Demand]) -> bool {
    let used: u64 = demands
        .iter()
        .map(|demand| demand.usage.used.to_bytes())
        .sum();
    let full = used >= capacity.to_bytes() / 20 * 19;
    let pressing = |demand: &Demand| {
        let Usage { pace, .. } = demand.usage;
        pace.is_some_and(|pace| pace < capacity) && demand.usage.presses()
    };
    full || demands.iter().any(pressing)
}

/// What a session has of its reservation: all of it while it uses most, else what it uses and a
/// margin to grow by.
fn guarantee(demand: Demand) -> u64 {
    let Demand { reserved, usage } = demand;
    let (reserved, used) = (reserved.to_bytes(), usage.used.to_bytes());
    if used == 0 {
        return 0;
    }
    let margin = used / 8 + reserved / 32;
    reserved.min(used.saturating_add(margin))
}

/// Deals `total` max-min: nobody gets more than wanted, and who gets less gets as much as anybody.
fn deal(total: u64, wants: &[u64]) -> Vec<u64> {
    let mut order: Vec<usize> = (0..wants.len()).collect();
    order.sort_by_key(|index| wants[*index]);
    let mut parts = vec![0; wants.len()];
    let mut left = total;
    for (done, index) in order.iter().enumerate() {
        let part = wants[*index].min(left / (wants.len() - done) as u64);
        parts[*index] = part;
        left -= part;
    }
    parts
}

/// Gives what nobody is known to want to those that want something, or to all.
fn spread(total: u64, parts: &mut [u64], wants: &[u64]) {
    let left = total.saturating_sub(parts.iter().sum());
    let nobody = wants.iter().all(|want| *want == 0);
    let takers = wants.iter().filter(|want| nobody || **want > 0).count() as u64;
    for (part, want) in parts.iter_mut().zip(wants) {
        if nobody || *want > 0 {
            *part += left / takers;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(bytes: &[u64]) -> Vec<Rate> {
        bytes.iter().map(|bytes| Rate::from_bytes(*bytes)).collect()
    }

    #[test]
    fn dealing_is_max_min() {
        for (total, wants, parts) in [
            (100, vec![], vec![]),
            (100, vec![10, 200, 200], vec![10, 45, 45]),
            (100, vec![200], vec![100]),
            (100, vec![0, 0], vec![0, 0]),
            (100, vec![30, 30], vec![30, 30]),
            (7, vec![9, 9], vec![3, 4]),
            (u64::MAX, vec![u64::MAX, 1], vec![u64::MAX - 1, 1]),
        ] {
            assert_eq!(deal(total, &wants), parts, "{total} {wants:?}");
        }
    }

    #[test]
    fn a_cap_is_shared_among_its_connections() {
        const M: u64 = 1_000_000;
        let free = |used| Some(usage(used, None));
        let used = |used: &[u64]| used.iter().copied().map(free).collect::<Vec<_>>();
        for (cap, used, parts) in [
            (10 * M, vec![], vec![]),
            // One alone has all of it, quiet or not.
            (10 * M, vec![None], vec![10 * M]),
            (10 * M, used(&[0]), vec![10 * M]),
            (10 * M, used(&[9 * M]), vec![10 * M]),
            // New ones share alike.
            (10 * M, vec![None; 4], vec![2_500_000; 4]),
            (10 * M, used(&[0, 0]), vec![5 * M, 5 * M]),
            // Quiet ones keep a little.
            (
                10 * M,
                used(&[10 * M, 0, 0, 0]),
                vec![9_850_000, 50_000, 50_000, 50_000],
            ),
            // Who wants less has twice what it uses, and its part of what nobody wants.
            (10 * M, used(&[M, 8 * M]), vec![2_100_000, 7_900_000]),
            (10 * M, used(&[M, M]), vec![5 * M, 5 * M]),
            // Nor does anybody keep what it leaves.
            (
                10 * M,
                vec![
                    Some(usage(3 * M, Some(5 * M))),
                    Some(usage(5 * M, Some(5 * M))),
                ],
                vec![3_475_000, 6_525_000],
            ),
            // A new one beside a busy one.
            (10 * M, vec![free(10 * M), None], vec![5 * M, 5 * M]),
        ] {
            assert_eq!(
                among_connections(Rate::from_bytes(cap), &used),
                rates(&parts),
                "{cap} {used:?}"
            );
        }
    }

    #[test]
    fn parts_never_add_up_to_more_than_the_cap_nor_to_much_less() {
        let mut state = 1_u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state >> 33
        };
        for _ in 0..10_000 {
            let number = 1 + next() % 64;
            let cap = 64 * LEAST.to_bytes() + next() % 1_000_000_000;
            let used: Vec<Option<Usage>> = (0..number)
                .map(|_| {
                    let pace = (next() % 2 > 0).then(|| next() % cap);
                    (next() % 4 > 0).then(|| usage(next() % cap, pace))
                })
                .collect();
            let parts = among_connections(Rate::from_bytes(cap), &used);
            let sum: u64 = parts.iter().map(|part| part.to_bytes()).sum();
            assert!(
                sum <= cap && cap - sum <= 3 * number,
                "{cap} {used:?} {parts:?}"
            );
        }
    }

    fn usage(used: u64, pace: Option<u64>) -> Usage {
        Usage {
            used: Rate::from_bytes(used),
            pace: pace.map(Rate::from_bytes),
        }
    }

    fn demand(reserved: u64, used: u64, pace: Option<u64>) -> Demand {
        Demand {
            reserved: Rate::from_bytes(reserved),
            usage: usage(used, pace),
        }
    }

    #[test]
    fn sessions_are_held_only_when_they_want_more_than_there_is() {
        const M: u64 = 1_000_000;
        for (demands, paces) in [
            (vec![], vec![]),
            // Enough for all, whatever is reserved.
            (
                vec![demand(60 * M, 0, None), demand(0, 90 * M, None)],
                vec![None, None],
            ),
            // Best effort alone has all there is.
            (vec![demand(0, 300 * M, None)], vec![Some(100 * M)]),
            // A reservation in full use holds, and all share the rest alike.
            (
                vec![
                    demand(60 * M, 60 * M, None),
                    demand(0, 20 * M, None),
                    demand(0, 20 * M, None),
                ],
                vec![Some(73_333_334), Some(13_333_333), Some(13_333_333)],
            ),
            // What is reserved and unused is lent out, and can be had back at once.
            (
                vec![demand(60 * M, 0, None), demand(0, 100 * M, None)],
                vec![Some(60 * M), Some(100 * M)],
            ),
            // It stays so while whoever is held presses. Who is content is charged with what it uses,
            // may use a quarter more, and leaves all the rest.
            (
                vec![
                    demand(60 * M, 50 * M, Some(80 * M)),
                    demand(0, 38 * M, Some(40 * M)),
                ],
                vec![Some(62_500_000), Some(50 * M)],
            ),
            (
                vec![
                    demand(0, 20 * M, Some(25 * M)),
                    demand(0, 60 * M, Some(60 * M)),
                ],
                vec![Some(25 * M), Some(80 * M)],
            ),
            // And ends when nobody does.
            (
                vec![
                    demand(60 * M, 50 * M, None),
                    demand(0, 20 * M, Some(40 * M)),
                ],
                vec![None, None],
            ),
        ] {
            let expected: Vec<Option<Rate>> = paces
                .iter()
                .map(|pace| pace.map(Rate::from_bytes))
                .collect();
            assert_eq!(
                among_sessions(Rate::from_bytes(100 * M), &demands),
                expected,
                "{demands:?}"
            );
        }
    }

    #[test]
    fn whoever_wants_no_more_than_it_reserves_leaves_the_rest_in_every_round() {
        const M: u64 = 1_000_000;
        let mut demands = [demand(60 * M, 60 * M, None), demand(0, 60 * M, None)];
        for _ in 0..10 {
            let paces = among_sessions(Rate::from_bytes(100 * M), &demands);
            let paces: Vec<Rate> = paces.into_iter().flatten().collect();
            let [steady, greedy] = paces.as_slice() else {
                panic!("both are held: {paces:?}");
            };
            demands[0].usage.pace = Some(*steady);
            demands[1].usage = Usage {
                used: *greedy,
                pace: Some(*greedy),
            };
        }
        assert_eq!(demands[1].usage.used, Rate::from_bytes(40 * M));
        assert!(demands[0].usage.pace > Some(Rate::from_bytes(60 * M)));
    }

    #[test]
    fn a_session_that_reserves_wins_its_reservation_back_round_by_round() {
        const M: u64 = 1_000_000;
        // The one that reserves nothing had all; both want without end from now on.
        let mut demands = [demand(60 * M, 5 * M, None), demand(0, 95 * M, None)];
        for _ in 0..10 {
            let paces = among_sessions(Rate::from_bytes(100 * M), &demands);
            for (demand, pace) in demands.iter_mut().zip(paces) {
                demand.usage.pace = pace;
                demand.usage.used = pace.unwrap();
            }
        }
        assert_eq!(demands[0].usage.used, Rate::from_bytes(80 * M));
        assert_eq!(demands[1].usage.used, Rate::from_bytes(20 * M));
    }
}
