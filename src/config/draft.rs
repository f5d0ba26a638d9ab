//! A configuration in the making: a checked value for each key that is set, and the defaults.

use super::{DefaultValue, Host, KEYS, Key, Secret, Setting, TableName, Value};
use crate::Error;
use crate::host::fork::ForkLocal;
use std::time::Duration;

/// A configuration in the making. A key may be set again: the last value holds. `build` checks what
/// concerns several keys.
///
/// ```
/// use resty_session_postgres::config::{Draft, Value};
///
/// let mut draft = Draft::default();
/// draft.set("host", &Value::Text("db.example".into()))?;
/// draft.set("pool_size", &Value::Number(2.0))?;
/// let config = draft.build()?;
/// assert_eq!(config.pool.size, 2);
/// # Ok::<(), resty_session_postgres::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Draft {
    given: Settings,
}

/// Checked values by key. Searching so short a list is faster than a map.
type Settings = Vec<(&'static str, Setting)>;

fn find<'a>(settings: &'a Settings, key: &str) -> Option<&'a Setting> {
    let found = settings.iter().find(|(name, _)| *name == key);
    found.map(|(_, setting)| setting)
}

/// The keys that have a default. Some sites make a configuration for each request, so the defaults
/// are checked once.
fn defaults() -> &'static Settings {
    static DEFAULTS: ForkLocal<Settings> = ForkLocal::new();
    DEFAULTS.get_or_init(|| {
        let settings = KEYS.iter().filter_map(|key| {
            let value = match key.default {
                DefaultValue::Flag(flag) => Value::Flag(flag),
                DefaultValue::Number(number) => Value::Number(number.into()),
                DefaultValue::Text(text) => Value::Text(text.into()),
                DefaultValue::Unset(_) => return None,
            };
            let setting = key.kind.check(&value).expect("a default that is accepted");
            Some((key.name, setting))
        });
        settings.collect()
    })
}

impl Draft {
    /// Sets a key of [`KEYS`].
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for an unknown key or a value that the key does not accept. The draft is
    /// then unchanged.
    pub fn set(&mut self, name: &str, value: &Value) -> Result<(), Error> {
        let key = Key::find(name).ok_or_else(|| {
            let nearest = Key::nearest(name);
            Error::config(
                name,
                format!("unknown key; the nearest known one is {nearest}"),
            )
        })?;
        let setting = key.kind.check(value).ok_or_else(|| {
            let (accepted, got) = (key.kind.accepted(), key.kind.describe(value));
            Error::config(name, format!("expected {accepted}, got {got}"))
        })?;
        self.given.retain(|(name, _)| *name != key.name);
        self.given.push((key.name, setting));
        Ok(())
    }

    fn get(&self, key: &str) -> Option<&Setting> {
        find(&self.given, key).or_else(|| find(defaults(), key))
    }

    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        match self.get(key) {
            Some(Setting::Flag(flag)) => Some(*flag),
            _ => None,
        }
    }

    pub(super) fn number(&self, key: &str) -> u32 {
        match self.get(key) {
            Some(Setting::Number(number)) => *number,
            _ => unreachable!("{key} is a number and has a default"),
        }
    }

    pub(super) fn time(&self, key: &str) -> Duration {
        Duration::from_millis(self.number(key).into())
    }

    pub(super) fn time_unless_zero(&self, key: &str) -> Option<Duration> {
        Some(self.time(key)).filter(|time| !time.is_zero())
    }

    pub(super) fn word(&self, key: &str) -> Option<&'static str> {
        match self.get(key) {
            Some(Setting::Word(word)) => Some(word),
            _ => None,
        }
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.get(key) {
            Some(Setting::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub(super) fn secret(&self, key: &str) -> Option<Secret> {
        self.text(key).map(|text| Secret::new(text.to_owned()))
    }

    pub(super) fn table(&self, key: &str) -> Option<TableName> {
        match self.get(key) {
            Some(Setting::Table(table)) => Some(table.clone()),
            _ => None,
        }
    }

    pub(super) fn hosts(&self) -> &[Host] {
        match self.get("host") {
            Some(Setting::Hosts(hosts)) => hosts,
            _ => &[],
        }
    }

    pub(super) fn ports(&self) -> &[u16] {
        match self.get("port") {
            Some(Setting::Ports(ports)) => ports,
            _ => &[],
        }
    }
}
