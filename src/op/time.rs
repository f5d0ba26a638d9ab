//! Points in time: whole seconds since 1970, whatever the TimeZone of server, session or host.

use crate::Error;
use postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use std::error::Error as StdError;
use std::time::{SystemTime, UNIX_EPOCH};

/// A point in time: whole seconds since 1970-01-01 00:00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub(super) i64);

impl Epoch {
    /// Seconds from 1970 to 2000, where PostgreSQL's binary timestamps start.
    const POSTGRES: i64 = 946_684_800;
    /// PostgreSQL's timestamptz reaches from 4714-11-24 BC to the end of 294276.
    const LEAST: i64 = -210_866_803_200;
    const MOST: i64 = 9_224_318_015_999;
    /// The first second.
    pub(crate) const FIRST: Epoch = Epoch(Self::LEAST);

    /// 1970-01-01 00:00:00 UTC. Expiries before it could be taken for marks of ended sessions.
    pub(crate) const ZERO: Epoch = Epoch(0);

    /// The current second.
    pub fn now() -> Self {
        let seconds = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => since.as_secs() as i64,
            Err(before) => -(before.duration().as_secs() as i64) - 1,
        };
        Epoch(seconds)
    }

    /// The second that `seconds`, which may be fractional, falls into.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] of `name` where that is no number or outside what PostgreSQL can store.
    pub fn from_seconds(name: &'static str, seconds: f64) -> Result<Self, Error> {
        let floor = seconds.floor();
        if !(Self::LEAST as f64..=Self::MOST as f64).contains(&floor) {
            let reason =
                format!("expected a time that PostgreSQL can store, got {seconds} seconds");
            return Err(Error::argument(name, reason));
        }
        Ok(Epoch(floor as i64))
    }

    /// So many seconds later, or earlier; at most what PostgreSQL can store.
    #[must_use]
    pub fn plus(self, seconds: i64) -> Self {
        Epoch(self.0.saturating_add(seconds).clamp(Self::LEAST, Self::MOST))
    }

    /// Seconds since 1970.
    pub fn seconds(self) -> i64 {
        self.0
    }
}

/// As timestamptz, in binary: independent of the server's and the session's TimeZone.
impl ToSql for Epoch {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut postgres::types::private::BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        let micros = (self.0 - Self::POSTGRES) * 1_000_000;
        micros.to_sql(ty, out)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMPTZ
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Epoch {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        // 'infinity' and '-infinity' are the extremes of i64, and here the last and first second.
        let micros = i64::from_sql(ty, raw)?;
        Ok(Epoch(micros.div_euclid(1_000_000)).plus(Self::POSTGRES))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMPTZ
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_down_to_the_second() {
        let seconds = |value| Epoch::from_seconds("ttl", value).map(Epoch::seconds);
        assert_eq!(seconds(1.999), Ok(1));
        assert_eq!(seconds(-0.5), Ok(-1));
        assert_eq!(seconds(9_224_318_015_999.5), Ok(9_224_318_015_999));
        for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e13, -1e12] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
