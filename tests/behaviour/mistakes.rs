//! Calls that only Lua can make: arguments of any type, in any of the documented forms.

use super::call::{NOW, set};
use super::lua_binding::LuaBinding;
use super::store::Store;
use super::value::Value;

type LuaStore = Store<LuaBinding>;

const SET: [&str; 9] = [
    "name",
    "key",
    "value",
    "ttl",
    "current_time",
    "old_key",
    "stale_ttl",
    "metadata",
    "remember",
];

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
    Value::Table(vec![
        ("audiences".into(), list(audiences)),
        ("subjects".into(), list(subjects)),
    ])
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
    let found = [
        "session".into(),
        "a".into(),
        "s".into(),
        "2000000000".into(),
    ];
    assert_ne!(
        store.call_method("read_metadata", &found),
        [Value::Table(vec![])]
    );
}

pub fn get_and_delete_need_no_time(store: &LuaStore) {
    let key: [Value; 2] = ["session".into(), "key".into()];
    for tail in [
        vec![],
        vec![lists(&["a"], &["s"])],
        vec![NOW.into(), lists(&["a"], &["s"])],
    ] {
        store.call_method("set", &good());
        assert_eq!(store.call_method("get", &key), ["value".into()]);
        assert_eq!(
            store.call_method("delete", &[&key, &*tail].concat()),
            [true.into()]
        );
        assert_eq!(store.call_method("get", &key), [Value::Nil]);
        store.db.assert_empty();
    }
}

pub fn a_set_needs_no_more_than_its_first_five_arguments(store: &LuaStore) {
    assert_eq!(store.call_method("set", &good()[..5]), [true.into()]);
    assert!(store.get("key").is_some());
}

pub fn a_wrong_type_is_raised_with_the_arguments_name_and_place(store: &LuaStore) {
    let wrong = |place: usize| match place {
        0..=2 | 5 => 1.0.into(),
        3 | 4 | 6 => "soon".into(),
        7 => "a".into(),
        _ => Value::Table(vec![]),
    };
    for (place, name) in SET.into_iter().enumerate().take(8) {
        let mut args = good();
        args[place] = wrong(place);
        assert_names(name, place, &store.raise("set", &args));
        args[place] = if place == 7 {
            true.into()
        } else {
            Value::Table(vec![])
        };
        assert_names(name, place, &store.raise("set", &args));
    }
    let number = Value::from(1.0);
    let text = Value::from("text");
    assert_names(
        "key",
        1,
        &store.raise("get", &[text.clone(), number.clone()]),
    );
    assert_names(
        "key",
        1,
        &store.raise("delete", &[text.clone(), number.clone()]),
    );
    let args = [text.clone(), number.clone(), text.clone(), NOW.into()];
    assert_names("audience", 1, &store.raise("read_metadata", &args));
    let args = [text.clone(), text.clone(), number, NOW.into()];
    assert_names("subject", 2, &store.raise("read_metadata", &args));
    store.db.assert_empty();
}

pub fn a_missing_argument_is_raised(store: &LuaStore) {
    for place in [1, 2, 3] {
        let mut args = good();
        args[place] = Value::Nil;
        assert_names(SET[place], place, &store.raise("set", &args));
    }
    for method in ["get", "delete"] {
        assert_names("key", 1, &store.raise(method, &["session".into()]));
    }
    let args = ["session".into(), "audience".into()];
    assert_names("subject", 2, &store.raise("read_metadata", &args));
    store.db.assert_empty();
}

pub fn a_number_that_is_no_time_is_raised(store: &LuaStore) {
    for place in [3, 4, 6] {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut args = good();
            args[place] = number.into();
            assert_names(SET[place], place, &store.raise("set", &args));
        }
    }
    store.db.assert_empty();
}

pub fn lists_of_different_lengths_are_raised(store: &LuaStore) {
    for lists in [
        lists(&["a", "b"], &["s"]),
        lists(&["a"], &["s", "t"]),
        lists(&[], &["s"]),
    ] {
        let mut args = good();
        args[7] = lists;
        assert_names("metadata", 7, &store.raise("set", &args));
    }
    store.db.assert_empty();
}

/// Arguments count from one, as Lua's own messages count them, and without the instance.
fn assert_names(argument: &str, place: usize, message: &str) {
    assert!(message.contains(argument), "no {argument} in: {message}");
    let place = format!("#{}", place + 1);
    assert!(message.contains(&place), "no {place} in: {message}");
}
