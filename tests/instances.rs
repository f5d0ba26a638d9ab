//! `new` in Lua: which calls find the storage of an earlier one. Some sites hand their configuration over
//! with each request.

use crate::support::{process, stage};

const SCRIPT: &str = r#"
local module = require("resty_session_postgres")
local native, made = module.native, 0
local make = native.storage
native.storage = function(configuration)
  made = made + 1
  return make(configuration)
end

-- A storage is known until it is garbage.
collectgarbage("stop")

-- How many storages a call of `new` has the native module look for.
local function cost(configuration)
  local before = made
  local ok, err = pcall(module.new, configuration)
  return made - before, ok, err
end

local function configuration(more)
  local all = { host = "127.0.0.1", port = 1, password = "secret", ssl = false, unknown = "x" }
  for key, value in pairs(more or {}) do
    all[key] = value
  end
  return all
end

local function expect(expected, more, why)
  local first = cost(configuration(more))
  local second = cost(configuration(more))
  assert(first == 1, why .. ": it was found at once")
  assert(second == expected, why .. ": " .. second)
end

expect(0, nil, "equal configurations")
expect(0, { password = "other" }, "another password")
expect(0, { port = "1" }, "a port as a string")
expect(0, { database = "true" }, "a string")
expect(0, { ssl = true }, "a boolean")
expect(1, { host = { "127.0.0.1" } }, "a list")
local other = { set = print, get = print, delete = print }
expect(0, { pool = "moving", fallback = other, save_to_fallback = true }, "another storage")
expect(1, { sslpassword = "secret" }, "another secret")
assert(cost(nil) == 1 and cost(nil) == 0 and cost({}) == 0, "no configuration")

-- The password is compared, and what it is compared with does not change.
assert(cost(configuration({ password = "secret" })) == 1, "the last password counts")
assert(cost(configuration({ password = "other" })) == 1)
local none = configuration()
none.password = nil
assert(cost(none) == 1 and cost(none) == 0, "no password")

-- A table that changes, or that inherits, is read again.
local changing = configuration({ pool = "a" })
assert(cost(changing) == 1 and cost(changing) == 0)
changing.pool = "b"
assert(cost(changing) == 1)
local inherits = setmetatable({}, { __index = configuration({ pool = "c" }) })
assert(cost(inherits) == 1 and cost(inherits) == 1)

-- What is wrong stays wrong, also where its text is that of a right one.
for _, wrong in ipairs({
  { port = 1.5 },
  { port = -1 },
  { port = 0 / 0 },
  { password = 1 },
  { password = false },
  { database = "a\0pool\0string\0b" },
  { pool = print },
}) do
  for _ = 1, 2 do
    local count, ok, err = cost(configuration(wrong))
    assert(count == 1 and not ok and err:find("bad argument", 1, true), tostring(err))
  end
end
for _, other in ipairs({ 1, "x", false }) do
  local _, ok, err = cost(other)
  assert(not ok and err:find("bad argument #1 to 'new'", 1, true), err)
end

-- Each has its own storage.
local function seconds(more)
  return module.new(configuration(more)).seconds
end
for _ = 1, 2 do
  assert(seconds({ connect_timeout = 1000 }) == 11 and seconds({ connect_timeout = 2000 }) == 12)
end
assert(getmetatable(module.new(configuration())) ~= nil)
assert(module.new(configuration()) ~= module.new(configuration()), "instances are not shared")

-- Those that nobody has any more are not kept.
local kept = module.new(configuration({ pool = "kept" }))
assert(cost(configuration({ pool = "garbage" })) == 1)
collectgarbage()
collectgarbage()
assert(cost(configuration({ pool = "kept" })) == 0 and kept.seconds == 15)
assert(cost(configuration({ pool = "garbage" })) == 1)
"#;

#[test]
fn an_equal_configuration_finds_its_storage_and_no_other_does() {
    process::run(&mut stage::luajit(SCRIPT, &[]));
}

/// Outside of nginx there is no log that would have them.
#[test]
fn plain_lua_prints_each_unknown_key_once() {
    let script = r#"
        local new = require("resty.session.postgres").new
        for _ = 1, 3 do
          new({ user = "ada", pasword = "secret", cqueues_openssl_context = {} })
        end
        local ok, err = pcall(new, { dbname = "shop", ssl = "yes" })
        print(ok, err)
    "#;
    let output = stage::luajit(script, &[]).output().expect("an end");
    let said = String::from_utf8_lossy(&output.stderr);
    let mut lines: Vec<&str> = said.lines().collect();
    lines.sort_unstable();
    let expected = [
        ("cqueues_openssl_context", ""),
        ("dbname", " (is database meant?)"),
        ("pasword", " (is password meant?)"),
        ("user", " (is username meant?)"),
    ];
    let expected = expected.map(|(key, meant)| {
        format!("resty.session.postgres: configuration: unknown key \"{key}\" is ignored{meant}")
    });
    assert_eq!(lines, expected);
    let raised = String::from_utf8_lossy(&output.stdout);
    assert!(
        raised.contains("ssl: expected a boolean (true or false), got the string \"yes\""),
        "{raised}"
    );
}

#[test]
fn a_native_module_that_is_not_found_names_the_path_that_lacks_it() {
    let script = "package.cpath = '/nowhere/?.so'; print(pcall(require, 'resty.session.postgres'))";
    let output = stage::luajit(script, &[]).output().expect("an end");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("native module in lua_package_cpath"), "{said}");
    assert!(said.contains("no file '/nowhere/"), "{said}");
}
