use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Op {
    id: usize,
    kind: Kind,
    alone: bool,
    footprint: Footprint,
    bytes: usize,
}

impl Batchable for Op {
    fn group(&self) -> Option<Group> {
        let target = 0;
        (!self.alone).then_some(Group {
            target,
            kind: self.kind,
        })
    }

    fn footprint(&self) -> &Footprint {
        &self.footprint
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

fn op(id: usize, kind: Kind, sessions: &[u64]) -> Op {
    Op {
        id,
        kind,
        alone: false,
        footprint: Footprint {
            writes: matches!(kind, Kind::Set | Kind::Delete),
            sessions: [sessions.first().copied(), sessions.get(1).copied()],
        },
        bytes: 10,
    }
}

const LIMITS: Limits = Limits {
    operations: 8,
    bytes: 1000,
};

fn ids(batch: &[Op]) -> Vec<usize> {
    batch.iter().map(|op| op.id).collect()
}

fn plan(waiting: Vec<Op>) -> (Vec<usize>, Vec<usize>, Busy) {
    let mut waiting: VecDeque<Op> = waiting.into();
    let mut busy = Busy::default();
    let batch = take(&mut waiting, &mut busy, LIMITS);
    let left: Vec<Op> = waiting.into();
    (ids(&batch), ids(&left), busy)
}

#[test]
fn operations_of_the_first_ones_kind_share_its_statement() {
    let (batch, left, _) = plan(vec![
        op(0, Kind::Get, &[1]),
        op(1, Kind::Set, &[2]),
        op(2, Kind::Get, &[3]),
        op(3, Kind::Get, &[1]),
    ]);
    assert_eq!((batch, left), (vec![0, 2, 3], vec![1]));
}

#[test]
fn a_read_does_not_overtake_a_write_of_its_session() {
    let (batch, left, _) = plan(vec![
        op(0, Kind::Get, &[1]),
        op(1, Kind::Set, &[2, 3]),
        op(2, Kind::Get, &[3]),
        op(3, Kind::Get, &[4]),
    ]);
    assert_eq!((batch, left), (vec![0, 3], vec![1, 2]));
}

#[test]
fn writes_of_one_session_go_one_by_one() {
    let mut waiting: VecDeque<Op> = vec![
        op(0, Kind::Set, &[1]),
        op(1, Kind::Set, &[1]),
        op(2, Kind::Set, &[2, 1]),
        op(3, Kind::Set, &[3]),
    ]
    .into();
    let mut busy = Busy::default();
    let first = take(&mut waiting, &mut busy, LIMITS);
    assert_eq!(ids(&first), [0, 3]);
    assert!(
        take(&mut waiting, &mut busy, LIMITS).is_empty(),
        "session 1 is in use"
    );
    first.iter().for_each(|op| busy.remove(&op.footprint));
    let second = take(&mut waiting, &mut busy, LIMITS);
    assert_eq!(ids(&second), [1]);
    second.iter().for_each(|op| busy.remove(&op.footprint));
    assert_eq!(ids(&take(&mut waiting, &mut busy, LIMITS)), [2]);
}

#[test]
fn sets_leave_what_no_prepared_size_holds() {
    let (batch, left, mut busy) = plan((0..5).map(|n| op(n, Kind::Set, &[n as u64])).collect());
    assert_eq!((batch, left), (vec![0, 1, 2, 3], vec![4]));
    assert!(
        !busy.conflicts(&op(4, Kind::Set, &[4]).footprint),
        "what is left is not in use"
    );
    for n in 0..4 {
        busy.remove(&op(n, Kind::Set, &[n as u64]).footprint);
    }
    assert!(busy.0.is_empty());
}

#[test]
fn a_batch_is_bounded_in_bytes_but_takes_one_large_operation() {
    let large = |id| Op {
        bytes: 5000,
        ..op(id, Kind::Set, &[id as u64])
    };
    let (batch, left, _) = plan(vec![large(0), large(1), op(2, Kind::Set, &[2])]);
    assert_eq!((batch, left), (vec![0], vec![1, 2]));
}

#[test]
fn an_operation_that_runs_alone_gets_no_company() {
    let alone = |id| Op {
        alone: true,
        ..op(id, Kind::Get, &[id as u64])
    };
    let (batch, left, _) = plan(vec![alone(0), op(1, Kind::Get, &[1]), alone(2)]);
    assert_eq!((batch, left), (vec![0], vec![1, 2]));
    let (batch, left, _) = plan(vec![
        op(0, Kind::Get, &[0]),
        alone(1),
        op(2, Kind::Get, &[2]),
    ]);
    assert_eq!((batch, left), (vec![0, 2], vec![1]));
}

fn any_op() -> impl Strategy<Value = Op> {
    let kind = prop_oneof![Just(Kind::Get), Just(Kind::Set), Just(Kind::Delete)];
    (
        kind,
        0..6u64,
        prop::option::of(6..9u64),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(kind, session, old, alone)| {
            let old = old.filter(|_| kind == Kind::Set);
            let sessions: Vec<u64> = [Some(session), old].into_iter().flatten().collect();
            Op {
                alone,
                ..op(0, kind, &sessions)
            }
        })
}

fn touch_each_other(a: &Op, b: &Op) -> bool {
    let common = a
        .footprint
        .sessions()
        .any(|s| b.footprint.sessions().any(|t| s == t));
    common && (a.footprint.writes || b.footprint.writes)
}

proptest! {
    /// With several batches in flight at once and ended in any order: nothing is lost, a batch
    /// holds one kind, and operations on a common session neither run together nor change order.
    #[test]
    fn order_holds_for_each_session(
        ops in prop::collection::vec(any_op(), 1..60),
        ends in prop::collection::vec(any::<prop::sample::Index>(), 200),
    ) {
        let mut waiting: VecDeque<Op> = ops
            .into_iter()
            .enumerate()
            .map(|(id, op)| Op { id, ..op })
            .collect();
        let all: Vec<Op> = waiting.iter().cloned().collect();
        let mut busy = Busy::default();
        let mut in_flight: Vec<Vec<Op>> = Vec::new();
        let mut started: Vec<Op> = Vec::new();
        let mut ends = ends.into_iter();
        while !waiting.is_empty() || !in_flight.is_empty() {
            let announced = first(&waiting, &busy, LIMITS).map(|op| op.id);
            let batch = take(&mut waiting, &mut busy, LIMITS);
            prop_assert_eq!(announced, batch.first().map(|op| op.id));
            if batch.is_empty() || in_flight.len() == 3 {
                prop_assert!(!batch.is_empty() || !in_flight.is_empty(), "stuck");
                if !batch.is_empty() {
                    in_flight.push(batch.clone());
                    started.extend(batch.clone());
                }
                let end = ends.next().map_or(0, |index| index.index(in_flight.len()));
                for op in in_flight.swap_remove(end) {
                    busy.remove(&op.footprint);
                }
                continue;
            }
            for op in &batch {
                prop_assert_eq!(op.group(), batch[0].group());
                for other in in_flight.iter().flatten() {
                    prop_assert!(!touch_each_other(op, other));
                }
            }
            for (n, op) in batch.iter().enumerate() {
                prop_assert!(!batch[..n].iter().any(|other| touch_each_other(op, other)));
            }
            started.extend(batch.clone());
            in_flight.push(batch);
        }
        prop_assert!(busy.0.is_empty());
        prop_assert_eq!(started.len(), all.len());
        for (n, later) in started.iter().enumerate() {
            for earlier in &started[..n] {
                prop_assert!(!(touch_each_other(earlier, later) && earlier.id > later.id));
            }
        }
    }
}
