//! How long one operation takes a blocking caller of the core, and one of a plain pool of r2d2_postgres,
//! while other callers are active.

mod callers;
mod plain_pool;

use callers::{Caller, Path};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

fn core(criterion: &mut Criterion) {
    for (name, path) in [("get", Path::Get), ("set", Path::Set)] {
        let mut group = criterion.benchmark_group(name);
        for threads in [1, 4, 16, 64] {
            for subject in ["ours", "r2d2_postgres"] {
                let mut caller = Caller::new(subject);
                let others = Others::start(threads - 1, &mut caller, path);
                group.bench_function(BenchmarkId::new(subject, threads), |bencher| {
                    bencher.iter(|| caller.call(path));
                });
                others.stop();
            }
        }
        group.finish();
    }
}

/// Callers that keep the storage busy while one of them is measured.
struct Others {
    stopping: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Others {
    fn start(number: usize, first: &mut Caller, path: Path) -> Self {
        let stopping = Arc::new(AtomicBool::new(false));
        let threads = (0..number)
            .map(|_| {
                let mut caller = first.another();
                let stopping = Arc::clone(&stopping);
                thread::spawn(move || {
                    while !stopping.load(Ordering::Relaxed) {
                        caller.call(path);
                    }
                })
            })
            .collect();
        Others { stopping, threads }
    }

    fn stop(self) {
        self.stopping.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a caller");
        }
    }
}

criterion_group!(benches, core);
criterion_main!(benches);
