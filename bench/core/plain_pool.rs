//! What a Rust program would use without this library: a pool of r2d2_postgres, with the statements
//! prepared once for each connection.

use postgres::{Client, Config, Error, NoTls, Statement};
use r2d2::{ManageConnection, Pool};
use r2d2_postgres::PostgresConnectionManager;
use std::time::{Duration, SystemTime};

const GET: &str = "SELECT data FROM sessions WHERE sid = $1 AND exp >= now()";
const SET: &str = "INSERT INTO sessions (sid, name, data, exp) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (sid) DO UPDATE \
     SET name = EXCLUDED.name, data = EXCLUDED.data, exp = EXCLUDED.exp";

#[derive(Clone)]
pub struct PlainPool(Pool<Manager>);

impl PlainPool {
    pub fn new(config: Config, size: u32) -> Self {
        // By default r2d2 sends a query before each use of a connection, which halves the throughput.
        let builder = Pool::builder().max_size(size).test_on_check_out(false);
        let manager = Manager(PostgresConnectionManager::new(config, NoTls));
        PlainPool(builder.build(manager).expect("connections"))
    }

    pub fn get(&self, key: &str) -> Option<String> {
        let mut connection = self.0.get().expect("a connection");
        let Connection { client, get, .. } = &mut *connection;
        let row = client.query_opt(get, &[&key]).expect("an answer");
        row.map(|row| row.get(0))
    }

    pub fn set(&self, key: &str, value: &str, ttl: Duration) {
        let expires = SystemTime::now() + ttl;
        let mut connection = self.0.get().expect("a connection");
        let Connection { client, set, .. } = &mut *connection;
        client.execute(set, &[&key, &"session", &value, &expires]).expect("a stored session");
    }
}

struct Connection {
    client: Client,
    get: Statement,
    set: Statement,
}

struct Manager(PostgresConnectionManager<NoTls>);

impl ManageConnection for Manager {
    type Connection = Connection;
    type Error = Error;

    fn connect(&self) -> Result<Connection, Error> {
        let mut client = self.0.connect()?;
        let get = client.prepare(GET)?;
        let set = client.prepare(SET)?;
        Ok(Connection { client, get, set })
    }

    fn is_valid(&self, connection: &mut Connection) -> Result<(), Error> {
        self.0.is_valid(&mut connection.client)
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        self.0.has_broken(&mut connection.client)
    }
}
