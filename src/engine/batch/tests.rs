use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Get,
    Set,
    Delete,
}

#[derive(Debug, Clone)]
struct Op {
    id: usize,
    footprint: Footprint,
}

impl Planned for Op {
    fn footprint(&self) -> &Footprint {
        &self.footprint
    }
}

/// Above 16, sets share a statement in fours.
fn fours(count: usize) -> usize {
    if count > 16 { count - count % 4 } else { count }
}

fn op(id: usize, kind: Kind, sessions: &[u64]) -> Op {
    let (type_id, batch_size): (_, fn(usize) -> usize) = match kind {
        Kind::Get => (TypeId::of::<u8>(), |count| count),
        Kind::Set => (TypeId::of::<u16>(), fours),
        Kind::Delete => (TypeId::of::<u32>(), |count| count),
    };
    let footprint = Footprint {
        group: Some((0, type_id, Round::default())),
        writes: matches!(kind, Kind::Set | Kind::Delete),
        sessions: [sessions.first().copied(), sessions.get(1).copied()],
        bytes: 10,
        batch_size,
    };
    Op { id, footprint }
}

fn single(mut op: Op) -> Op {
    op.footprint.group = None;
    op
}

const LIMITS: Limits = Limits { operations: 8, bytes: 1000 };

const LARGE: Limits = Limits { operations: 32, bytes: 1000 };

fn ids(batch: &[Op]) -> Vec<usize> {
    batch.iter().map(|op| op.id).collect()
}

fn planner(waiting: Vec<Op>) -> Planner<Op> {
    let mut planner = Planner::default();
    waiting.into_iter().for_each(|op| planner.push(op));
    planner
}

fn all_left(planner: &mut Planner<Op>) -> Vec<usize> {
    ids(&planner.remove_if(|_| true))
}

fn plan(waiting: Vec<Op>) -> (Vec<usize>, Vec<usize>) {
    let mut planner = planner(waiting);
    let batch = planner.take(LIMITS);
    (ids(&batch), all_left(&mut planner))
}

fn release(planner: &mut Planner<Op>, batch: &[Op]) {
    batch.iter().for_each(|op| planner.release(&op.footprint));
}

#[test]
fn operations_of_the_first_ones_kind_share_its_statement() {
    let (batch, left) = plan(vec![
        op(0, Kind::Get, &[1]),
        op(1, Kind::Set, &[2]),
        op(2, Kind::Get, &[3]),
        op(3, Kind::Get, &[1]),
    ]);
    assert_eq!((batch, left), (vec![0, 2, 3], vec![1]));
}

#[test]
fn a_read_does_not_overtake_a_write_of_its_session() {
    let (batch, left) = plan(vec![
        op(0, Kind::Get, &[1]),
        op(1, Kind::Set, &[2, 3]),
        op(2, Kind::Get, &[3]),
        op(3, Kind::Get, &[4]),
    ]);
    assert_eq!((batch, left), (vec![0, 3], vec![1, 2]));
}

#[test]
fn writes_of_one_session_go_one_by_one() {
    let mut planner = planner(vec![
        op(0, Kind::Set, &[1]),
        op(1, Kind::Set, &[1]),
        op(2, Kind::Set, &[2, 1]),
        op(3, Kind::Set, &[3]),
    ]);
    let first = planner.take(LIMITS);
    assert_eq!(ids(&first), [0, 3]);
    assert!(planner.take(LIMITS).is_empty(), "session 1 is in use");
    release(&mut planner, &first);
    let second = planner.take(LIMITS);
    assert_eq!(ids(&second), [1]);
    release(&mut planner, &second);
    assert_eq!(ids(&planner.take(LIMITS)), [2]);
}

#[test]
fn what_is_put_back_stays_before_what_waited_for_it() {
    let mut planner = planner(vec![op(0, Kind::Set, &[1]), op(1, Kind::Set, &[1])]);
    let batch = planner.take(LIMITS);
    assert!(planner.first().is_none());
    planner.put_back(batch);
    assert_eq!(all_left(&mut planner), [0, 1]);
}

#[test]
fn a_crowd_behind_one_session_hides_nobody() {
    let mut planner = planner(vec![op(0, Kind::Set, &[1])]);
    let locked = planner.take(LIMITS);
    for id in 1..1000 {
        planner.push(op(id, Kind::Get, &[1]));
    }
    planner.push(op(1000, Kind::Get, &[2]));
    assert_eq!(ids(&planner.take(LIMITS)), [1000]);
    assert!(planner.first().is_none());
    release(&mut planner, &locked);
    assert_eq!(planner.first().map(|op| op.id), Some(1));
    assert_eq!(planner.len(), 999);
}

/// Wherever in the row they are.
#[test]
fn what_waits_for_a_session_does_not_count_as_looked_at() {
    let mut planner = planner(vec![op(0, Kind::Set, &[1])]);
    planner.take(LIMITS);
    planner.push(op(1, Kind::Get, &[2]));
    for id in 2..1000 {
        planner.push(op(id, Kind::Get, &[1]));
    }
    planner.push(op(1000, Kind::Get, &[3]));
    assert_eq!(ids(&planner.take(LIMITS)), [1, 1000]);
}

#[test]
fn a_batch_is_filled_from_a_few_times_its_size_and_no_more() {
    let last = LIMITS.operations * LOOK_AHEAD - 1;
    for (place, expected) in [(last, vec![0, last]), (last + 1, vec![0])] {
        let mut waiting = vec![op(0, Kind::Get, &[0])];
        waiting.extend((1..place).map(|id| op(id, Kind::Set, &[id as u64])));
        waiting.push(op(place, Kind::Get, &[place as u64]));
        assert_eq!(plan(waiting).0, expected, "{place}");
    }
}

#[test]
fn sets_leave_what_no_prepared_size_holds() {
    let mut planner = planner((0..19).map(|n| op(n, Kind::Set, &[n as u64])).collect());
    let batch = planner.take(LARGE);
    assert!(ids(&batch).into_iter().eq(0..16));
    assert_eq!(planner.first().map(|op| op.id), Some(16), "it is not in use");
    release(&mut planner, &batch);
    assert!(planner.is_idle());
}

#[test]
fn sets_that_were_left_keep_their_places() {
    let mut waiting: Vec<Op> = (0..17).map(|n| op(n, Kind::Set, &[n as u64])).collect();
    waiting.insert(2, op(98, Kind::Get, &[98]));
    waiting.push(op(99, Kind::Get, &[99]));
    let mut planner = planner(waiting);
    assert!(ids(&planner.take(LARGE)).into_iter().eq(0..16));
    assert_eq!(all_left(&mut planner), [98, 16, 99], "the older first");
}

#[test]
fn a_batch_is_bounded_in_bytes_but_takes_one_large_operation() {
    let large = |id| {
        let mut op = op(id, Kind::Set, &[id as u64]);
        op.footprint.bytes = 5000;
        op
    };
    let (batch, left) = plan(vec![large(0), large(1), op(2, Kind::Set, &[2])]);
    assert_eq!((batch, left), (vec![0], vec![1, 2]));
}

#[test]
fn a_single_operation_is_not_batched() {
    let single = |id| single(op(id, Kind::Get, &[id as u64]));
    let (batch, left) = plan(vec![single(0), op(1, Kind::Get, &[1]), single(2)]);
    assert_eq!((batch, left), (vec![0], vec![1, 2]));
    let (batch, left) = plan(vec![op(0, Kind::Get, &[0]), single(1), op(2, Kind::Get, &[2])]);
    assert_eq!((batch, left), (vec![0, 2], vec![1]));
}

fn any_op() -> impl Strategy<Value = Op> {
    let kind = prop_oneof![Just(Kind::Get), Just(Kind::Set), Just(Kind::Delete)];
    let old = prop::option::of(0..9u64);
    (kind, 0..9u64, old, prop::bool::weighted(0.1)).prop_map(|(kind, session, old, is_single)| {
        let old = old.filter(|old| kind == Kind::Set && *old != session);
        let sessions: Vec<u64> = [Some(session), old].into_iter().flatten().collect();
        let op = op(0, kind, &sessions);
        if is_single { single(op) } else { op }
    })
}

fn touch_each_other(a: &Op, b: &Op) -> bool {
    let mut common = a.footprint.sessions();
    let common = common.any(|s| b.footprint.sessions().any(|t| s == t));
    common && (a.footprint.writes || b.footprint.writes)
}

/// What happens between two batches.
#[derive(Debug, Clone)]
enum Event {
    /// More operations come.
    Push(Vec<Op>),
    /// A batch in flight ends well.
    End(prop::sample::Index),
    /// The oldest batch in flight ends well.
    EndOldest,
    /// A batch in flight is interrupted and has to run again.
    PutBack(prop::sample::Index),
    /// A waiting operation's time is up.
    Expire(prop::sample::Index),
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => prop::collection::vec(any_op(), 1..12).prop_map(Event::Push),
        4 => any::<prop::sample::Index>().prop_map(Event::End),
        1 => any::<prop::sample::Index>().prop_map(Event::PutBack),
        1 => any::<prop::sample::Index>().prop_map(Event::Expire),
    ]
}

proptest! {
    /// With several batches in flight at once, ended, interrupted and overtaken by events of all
    /// sorts: nothing is lost or stuck, a batch holds one kind, and operations on a common session
    /// neither run together nor end in another order than they came.
    #[test]
    fn order_holds_for_each_session(events in prop::collection::vec(any_event(), 1..80)) {
        let mut planner = Planner::default();
        let mut in_flight: Vec<Vec<Op>> = Vec::new();
        let (mut came, mut expired, mut ended) = (0, 0, Vec::<Op>::new());
        let operations = events.iter().map(|event| match event {
            Event::Push(ops) => ops.len(),
            _ => 0,
        });
        // At the end, whatever is in flight ends, and whatever waits gets its turn.
        let rest = vec![Event::EndOldest; 2 * operations.sum::<usize>() + 8];
        for event in events.into_iter().chain(rest) {
            match event {
                Event::Push(ops) => {
                    for op in ops {
                        planner.push(Op { id: came, ..op });
                        came += 1;
                    }
                }
                Event::End(index) if !in_flight.is_empty() => {
                    let batch = in_flight.remove(index.index(in_flight.len()));
                    release(&mut planner, &batch);
                    ended.extend(batch);
                }
                Event::EndOldest if !in_flight.is_empty() => {
                    let batch = in_flight.remove(0);
                    release(&mut planner, &batch);
                    ended.extend(batch);
                }
                Event::PutBack(index) if !in_flight.is_empty() => {
                    let batch = in_flight.remove(index.index(in_flight.len()));
                    planner.put_back(batch);
                }
                Event::Expire(index) if planner.len() > 0 => {
                    let chosen = index.index(came);
                    expired += planner.remove_if(|op| op.id == chosen).len();
                }
                _ => {}
            }
            if in_flight.len() < 3 {
                let announced = planner.first().map(|op| op.id);
                let batch = planner.take(LIMITS);
                prop_assert_eq!(announced, batch.first().map(|op| op.id));
                for (n, op) in batch.iter().enumerate() {
                    prop_assert_eq!(op.footprint.group, batch[0].footprint.group);
                    let others = in_flight.iter().flatten().chain(&batch[..n]);
                    prop_assert!(!others.into_iter().any(|other| touch_each_other(op, other)));
                }
                if !batch.is_empty() {
                    in_flight.push(batch);
                }
            }
        }
        prop_assert!(planner.is_idle());
        prop_assert_eq!(planner.len(), 0);
        prop_assert_eq!(ended.len() + expired, came);
        for (n, later) in ended.iter().enumerate() {
            for earlier in &ended[..n] {
                prop_assert!(!(touch_each_other(earlier, later) && earlier.id > later.id));
            }
        }
    }
}
