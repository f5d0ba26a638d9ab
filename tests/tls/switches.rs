//! TLS by lua-resty-session's three switches, against real servers.

use std::time::{Duration, Instant};

use super::matrix::{Outcome, ours, start};
use super::pki::Authority;
use super::{Keys, cluster, server};
use crate::support::Cluster;

pub fn tls_cluster(hba: &str) -> Cluster {
    let server = Authority::new("ours").server(&["127.0.0.1"]);
    cluster(&server, hba)
}

#[test]
fn each_switch_accepts_and_refuses_as_documented() {
    // Its authority is not known to the system.
    let with_tls = start(server(&Authority::new("ours").server(&["127.0.0.1"])));
    let without = start(Cluster::builder());
    let untrusted = "unable to get local issuer certificate";
    for (cluster, switches, expected, reason) in [
        (&with_tls, &[][..], Outcome::Plain, ""),
        (&with_tls, &["ssl"], Outcome::Tls, ""),
        (&with_tls, &["ssl", "ssl_required"], Outcome::Tls, ""),
        (&with_tls, &["ssl", "ssl_verify"], Outcome::Refused, untrusted),
        (&without, &["ssl"], Outcome::Plain, ""),
        (
            &without,
            &["ssl", "ssl_verify"],
            Outcome::Refused,
            "the server offers no TLS, which ssl_verify",
        ),
        (
            &without,
            &["ssl", "ssl_required"],
            Outcome::Refused,
            "the server offers no TLS, which ssl_required",
        ),
    ] {
        let mut keys: Keys<'_> = vec![("password", "secret".to_owned())];
        keys.extend(switches.iter().map(|switch| (*switch, "true".to_owned())));
        let start = Instant::now();
        let (outcome, error) = ours(cluster, &keys);
        assert_eq!(outcome, expected, "{switches:?}: {error}");
        assert!(error.contains(reason), "{switches:?}: {error}");
        assert!(!error.contains("secret"), "{error}");
        // Long before the connect timeout.
        assert!(start.elapsed() < Duration::from_secs(3), "{switches:?}");
    }
}
