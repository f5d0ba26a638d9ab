//! Faults by chance.

use std::hash::{BuildHasher, RandomState};
use std::thread;
use std::time::Duration;

use super::relay::{Mode, Relay};
use crate::support::{Cluster, Nginx, Stop};

/// A number below `limit`.
pub fn chance(limit: u64) -> u64 {
    RandomState::new().hash_one(()) % limit
}

/// One fault, which is over when this returns.
pub fn random_fault(cluster: &Cluster, relay: &Relay, reloaded: Option<&Nginx>) -> &'static str {
    let pause = |most| thread::sleep(Duration::from_millis(100 + chance(most)));
    let restart = |how| {
        cluster.stop(how);
        pause(500);
        cluster.start_again();
    };
    let stop = || {
        cluster.pause();
        pause(2000);
        cluster.resume();
    };
    let relayed = |mode| {
        relay.set(mode);
        pause(1000);
        relay.set(Mode::Pass);
    };
    let terminate = || {
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE application_name = 'pgmoon'";
        let _ = cluster.client("postgres").query(end, &[]);
    };
    let delay = Mode::Delay(Duration::from_millis(30));
    let reload = || {
        for nginx in reloaded.into_iter().cycle().take(3) {
            nginx.reload();
            pause(200);
        }
    };
    let faults: [(&str, &dyn Fn()); 10] = [
        ("fast restart", &|| restart(Stop::Fast)),
        ("immediate restart", &|| restart(Stop::Immediate)),
        ("stop and continue", &stop),
        ("backends terminated", &terminate),
        ("connections cut", &|| relay.cut()),
        ("black hole", &|| relayed(Mode::Lose)),
        ("standstill", &|| relayed(Mode::Hold)),
        ("delay", &|| relayed(delay)),
        ("half-open", &|| relay.leave_half_open()),
        ("three reloads", &reload),
    ];
    let number = faults.len() - usize::from(reloaded.is_none());
    let (name, fault) = faults[chance(number as u64) as usize];
    fault();
    name
}
