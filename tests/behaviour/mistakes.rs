//! Calls that only Lua can make: arguments of any type, in any of the documented forms.

use super::call::{NOW, set};
use super::lua_binding::LuaBinding;
use super::store::Store;
use super::value::Value;

type LuaStore = Store<LuaBinding>;

const SET: [&str; 9] =
    ["name", "key", "value", "ttl", "current_time", "old_key", "stale_ttl", "metadata", "remember"];

impl LuaStore {
    fn call_method(&self, method: &str, args: &[Value]) -> Vec<Value> {
        let returned = self.binding.call_method(&self.conf, method, args);
        returned.unwrap_or_else(|failure| panic!("{method}: {failure:?}"))
    }

    /// A call that has to raise, and the message without its position.
    pub fn raise(&self, method: &str, args: &[Value]) -> String {
        let outcome = self.binding.call_method(&self.conf, method, args);
        outcome.expect_err("an error, but it returned").raised()
    }
}

fn lists(audiences: &[&str], subjects: &[&str]) -> Value {
    let list = |items: &[&str]| items.iter().copied().collect::<Value>();
    Value::Table(vec![("audiences".into(), list(audiences)), ("subjects".into(), list(subjects))])
}

/// The arguments of a good `set`.
fn good() -> [Value; 9] {
    [
        "session".into(),
        "key".into(),
        "value".into(),
        60.0.into(),
        NOW.into(),
        "old".into(),
        10.0.into(),
        lists(&["a"], &["s"]),
        false.into(),
    ]
}

pub fn numbers_may_come_as_text(store: &LuaStore) {
    store.run(&set("old", "old"));
    let mut args = good();
    args[3] = "60.5".into();
    args[4] = "2000000000.25".into();
    args[6] = "1e1".into();
    assert_eq!(store.call_method("set", &args), [true.into()]);
    assert_eq!(store.db.exp("key"), NOW + 60.0);
    assert_eq!(store.db.exp("old"), NOW + 10.0);

    let at =
        |seconds: &str| store.call_method("get", &["session".into(), "key".into(), seconds.into()]);
    assert_eq!(at("2000000060"), ["value".into()]);
    assert_eq!(at("2000000061"), [Value::Nil]);
    let found = ["session".into(), "a".into(), "s".into(), "2000000000".into()];
    let found = store.call_method("read_metadata", &found);
    assert_ne!(found, [Value::Table(vec![])]);
}

pub fn get_and_delete_need_no_time(store: &LuaStore) {
    let key: [Value; 2] = ["session".into(), "key".into()];
    for tail in [vec![], vec![lists(&["a"], &["s"])], vec![NOW.into(), lists(&["a"], &["s"])]] {
        store.call_method("set", &good());
        assert_eq!(store.call_method("get", &key), ["value".into()]);
        let deleted = store.call_method("delete", &[&key, &*tail].concat());
        assert_eq!(deleted, [true.into()]);
        assert_eq!(store.call_method("get", &key), [Value::Nil]);
        store.db.assert_empty();
    }
}

pub fn a_set_needs_no_more_than_its_first_five_arguments(store: &LuaStore) {
    assert_eq!(store.call_method("set", &good()[..5]), [true.into()]);
    assert!(store.get("key").is_some());
}

/// Each call has one wrong argument, at that place.
pub fn a_wrong_argument_is_raised_with_its_name_and_place(store: &LuaStore) {
    let mut wrong: Vec<(&str, usize, Value)> = Vec::new();
    let table = || Value::Table(vec![]);
    for (place, name) in SET.into_iter().enumerate().take(8) {
        let values = match place {
            0..=2 | 5 => [1.0.into(), table()],
            3 | 4 | 6 => ["soon".into(), table()],
            _ => ["a".into(), true.into()],
        };
        wrong.extend(values.map(|value| (name, place, value)));
    }
    for place in [1, 2, 3] {
        wrong.push((SET[place], place, Value::Nil));
    }
    for place in [3, 4, 6] {
        let numbers = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        wrong.extend(numbers.map(|number| (SET[place], place, number.into())));
    }
    for (audiences, subjects) in
        [(&["a", "b"][..], &["s"][..]), (&["a"], &["s", "t"]), (&[], &["s"])]
    {
        wrong.push(("metadata", 7, lists(audiences, subjects)));
    }
    for (name, place, value) in wrong {
        let mut args = good();
        args[place] = value;
        assert_names(name, place, &store.raise("set", &args));
    }
    let (number, text) = (Value::from(1.0), Value::from("text"));
    for method in ["get", "delete"] {
        assert_names("key", 1, &store.raise(method, &[text.clone(), number.clone()]));
        assert_names("key", 1, &store.raise(method, &["session".into()]));
    }
    let read = |args: &[Value]| store.raise("read_metadata", args);
    assert_names("audience", 1, &read(&[text.clone(), number.clone(), text.clone()]));
    assert_names("subject", 2, &read(&[text.clone(), text.clone(), number]));
    assert_names("subject", 2, &read(&[text.clone(), text]));
    store.db.assert_empty();
}

/// Arguments count from one, as Lua's own messages count them, and without the instance.
fn assert_names(argument: &str, place: usize, message: &str) {
    assert!(message.contains(argument), "no {argument} in: {message}");
    let place = format!("#{}", place + 1);
    assert!(message.contains(&place), "no {place} in: {message}");
}
