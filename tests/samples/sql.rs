//! SQL, in a database that has the tables, on a server of its own: some of it is about roles.

use super::of;
use crate::support::Cluster;

#[test]
fn the_sql_samples_run() {
    let cluster = Cluster::builder().start();
    cluster
        .client("postgres")
        .batch_execute("CREATE ROLE web LOGIN")
        .expect("the role that samples speak of");
    for sample in of("sql") {
        let database = cluster.create_database();
        let done = cluster.client(&database).batch_execute(&sample.text);
        assert!(done.is_ok(), "{}: {done:?}", sample.place);
    }
}
