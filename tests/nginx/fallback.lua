-- Moving in from another store, in a request: each check takes the storage that is moved in from,
-- which is another configuration of ours, or a custom one over a shared dictionary.

local cjson = require "cjson"
local site = require "site"

local new = require("resty.session.postgres").new

local function configuration(more)
  local all = site.configuration()
  for key, value in pairs(more) do
    all[key] = value
  end
  return all
end

local dictionary = {}
dictionary.__index = dictionary

function dictionary:set(_, key, value, ttl, _, old_key, stale_ttl)
  assert(self.dict:set(key, value, ttl))
  local left = old_key and self.dict:ttl(old_key)
  if left and left > stale_ttl then
    self.dict:expire(old_key, stale_ttl)
  end
  return true
end

function dictionary:get(_, key)
  return (self.dict:get(key))
end

-- As memcached's.
function dictionary:delete(_, key)
  if not self.dict:get(key) then
    return nil, "NOT_FOUND"
  end
  self.dict:delete(key)
  return true
end

local stores = {}

function stores.dictionary()
  ngx.shared.old:flush_all()
  return setmetatable({ dict = ngx.shared.old }, dictionary)
end

function stores.tables()
  return new(configuration { table_name = "old_sessions" })
end

-- A storage whose methods may be replaced.
local function changed(other, methods)
  return setmetatable(methods, {
    __index = function(_, name)
      return other[name] and function(_, ...)
        return other[name](other, ...)
      end
    end,
  })
end

local function fails()
  return nil, "it is down"
end

local function equal(found, expected, what)
  if found ~= expected then
    error((what or "") .. ": " .. tostring(found) .. ", not " .. tostring(expected), 2)
  end
end

local function fallback_counts(storage)
  local stats, counts = storage:stats(), {}
  for _, outcome in ipairs { "found", "missing", "failed" } do
    counts[#counts + 1] =
      stats['resty_session_postgres_fallback_total{outcome="' .. outcome .. '"}']
  end
  return table.concat(counts, " ")
end

local checks = {}

function checks.a_session_moves_with_its_next_save(other)
  local plain = new(configuration {})
  local storage = new(configuration { fallback = other })
  assert(other:set("session", "one", "1", 3600, ngx.time()))
  equal(storage:get("session", "one"), "1")
  equal(select("#", storage:get("session", "none")), 1, "a miss is a bare nil")
  equal(plain:get("session", "one"), nil, "a get moves nothing")

  equal(storage:set("session", "two", "2", 3600, nil, "one", 2), true)
  equal(plain:get("session", "two"), "2")
  equal(storage:get("session", "two"), "2")
  equal(storage:get("session", "one"), "1", "for stale_ttl")
  -- Another save of the same session does not put its end off.
  equal(storage:set("session", "three", "3", 3600, nil, "one", 3600), true)
  ngx.sleep(4.1)
  for _, key in ipairs { "one", "two", "three" } do
    equal(other:get("session", key, ngx.time()), nil, key .. " in the other store")
  end
  equal(storage:get("session", "one"), nil)
  equal(storage:get("session", "two"), "2")
  equal(storage:get("session", "three"), "3")

  assert(other:set("session", "four", "4", 3600, ngx.time()))
  equal(storage:set("session", "five", "5", 3600, nil, "four", nil, nil, true), true)
  equal(other:get("session", "four", ngx.time()), nil, "remember ends it at once")
  -- A save of a session's own key.
  assert(other:set("session", "six", "old", 3600, ngx.time()))
  equal(storage:set("session", "six", "new", 3600), true)
  equal(other:get("session", "six", ngx.time()), nil)
  equal(storage:get("session", "six"), "new")
end

function checks.what_has_ended_here_is_not_looked_for_there(other)
  local plain = new(configuration {})
  local storage = new(configuration { fallback = other })
  local metadata = { audiences = { "a" }, subjects = { "s" } }
  for _, key in ipairs { "deleted", "revoked", "expired" } do
    assert(
      plain:set("session", key, "here", 3600, nil, nil, nil, key == "revoked" and metadata or nil)
    )
    assert(other:set("session", key, "there", 3600, ngx.time()))
    equal(storage:get("session", key), "here")
  end
  equal(plain:state("session", "deleted"), "live")
  assert(plain:delete("session", "deleted"))
  equal(plain:revoke("session", "a", "s"), 1)
  assert(plain:touch("session", "expired", -1))
  for _, key in ipairs { "deleted", "revoked", "expired" } do
    equal(plain:state("session", key), key)
    equal(storage:get("session", key), nil, key)
    equal(other:get("session", key, ngx.time()), "there")
  end
  equal(plain:state("session", "none"), nil)
end

function checks.a_failure_there_is_no_miss(other)
  local down = changed(other, { get = fails, set = fails, delete = fails, read_metadata = fails })
  local raises = changed(other, {
    get = function()
      error("API disabled", 0)
    end,
  })
  local storage = new(configuration { fallback = down })
  local value, err = storage:get("session", "down")
  equal(value, nil)
  equal(err, "resty.session.postgres: fallback: it is down")
  value, err = new(configuration { fallback = raises }):get("session", "down")
  equal(value, nil)
  equal(err, "resty.session.postgres: fallback: API disabled")
  local _, failed = storage:read_metadata("session", "a", "down")
  equal(failed, "resty.session.postgres: fallback: it is down")

  -- What is here needs the other store no more.
  local plain = new(configuration {})
  assert(plain:set("session", "moved", "1", 3600))
  equal(storage:get("session", "moved"), "1")
  equal(storage:set("session", "moved again", "2", 3600, nil, "moved", 10), true)

  -- A session that cannot be ended there stays where it was: nobody is signed out.
  assert(other:set("session", "stuck", "1", 3600, ngx.time()))
  local ends = changed(other, { set = fails })
  storage = new(configuration { fallback = ends })
  local ok
  ok, err = storage:set("session", "next", "2", 3600, nil, "stuck", 10)
  equal(ok, nil)
  equal(err, "resty.session.postgres: fallback: it is down")
  equal(storage:get("session", "stuck"), "1")
  -- Nor is it ended there where the save here fails.
  local full = { audiences = { "full" }, subjects = { "s" } }
  storage = new(configuration {
    fallback = other,
    max_sessions_per_subject = 1,
    max_sessions_beyond = "refuse",
  })
  assert(storage:set("session", "first", "1", 3600, nil, nil, nil, full))
  ok = storage:set("session", "second", "2", 3600, nil, "stuck", nil, full, true)
  equal(ok, nil)
  equal(other:get("session", "stuck", ngx.time()), "1")
end

function checks.a_logout_ends_it_in_both(other)
  local storage = new(configuration { fallback = other })
  for _, key in ipairs { "there", "both", "here" } do
    if key ~= "here" then
      assert(other:set("session", key, "1", 3600, ngx.time()))
    end
    if key ~= "there" then
      assert(new(configuration {}):set("session", key, "1", 3600))
    end
    equal(storage:delete("session", key, ngx.time() - 900), true, key)
    equal(other:get("session", key, ngx.time()), nil, key)
    equal(storage:get("session", key), nil, key)
    -- Another request had read it before.
    local ok, err = storage:set("session", "after " .. key, "2", 3600, nil, key, 10)
    equal(ok, nil, key)
    assert(err:find("the session has ended", 1, true), err)
    equal(storage:get("session", "after " .. key), nil)
  end

  assert(other:set("session", "kept", "1", 3600, ngx.time()))
  local broken = new(configuration { fallback = changed(other, { delete = fails }) })
  local ok, err = broken:delete("session", "kept")
  equal(ok, nil)
  equal(err, "resty.session.postgres: fallback: it is down")
  equal(broken:get("session", "kept"), nil, "it has ended all the same")
  equal(storage:delete("session", "kept", { audiences = {}, subjects = {} }), true)
  equal(other:get("session", "kept", ngx.time()), nil)
end

function checks.metadata_is_merged(other)
  local storage = new(configuration { fallback = other })
  local metadata = { audiences = { "shop" }, subjects = { "ada" } }
  assert(storage:set("session", "m here", "1", 3600, 1e9, nil, nil, metadata))
  equal(cjson.encode(storage:read_metadata("session", "shop", "ada", 1e9)), '{"m here":1000003600}')
  assert(other:set("session", "m there", "1", 3600, ngx.time()))
  local listing = changed(other, {
    read_metadata = function()
      return { ["m there"] = "1000007200", ["m here"] = "5", ["m gone"] = "1000007200" }
    end,
  })
  storage = new(configuration { fallback = listing })
  local sessions = storage:read_metadata("session", "shop", "ada", 1e9)
  equal(sessions["m there"], 1000007200)
  equal(sessions["m here"], 1000003600)
  equal(sessions["m gone"], nil)
  assert(new(configuration {}):set("session", "m there", "", 0, 1))
  equal(storage:read_metadata("session", "shop", "ada", 1e9)["m there"], nil, "expired here")
  listing.read_metadata = function()
    return nil, "not found"
  end
  equal(storage:read_metadata("session", "shop", "ada", 1e9)["m here"], 1000003600)
end

function checks.saves_go_to_the_other_storage_on_request(other)
  local plain = new(configuration {})
  local storage = new(configuration { fallback = other, save_to_fallback = true })
  local metadata = { audiences = { "b" }, subjects = { "s" } }
  equal(storage:set("session", "b1", "1", 3600), true)
  equal(other:get("session", "b1", ngx.time()), "1")
  equal(plain:get("session", "b1"), nil)
  equal(storage:set("session", "b2", "2", 3600, nil, "b1", 2), true)
  equal(other:get("session", "b2", ngx.time()), "2")
  -- A session of here, which goes back.
  assert(plain:set("session", "b3", "3", 3600, nil, nil, nil, metadata))
  equal(storage:get("session", "b3"), "3")
  equal(storage:set("session", "b4", "4", 3600, nil, "b3", 2), true)
  equal(other:get("session", "b4", ngx.time()), "4")
  equal(storage:get("session", "b4"), "4")
  equal(plain:get("session", "b3"), "3", "for stale_ttl")
  ngx.sleep(3.1)
  equal(plain:get("session", "b3"), nil)
  equal(other:get("session", "b1", ngx.time()), nil)
  -- Its own key stays where it is.
  assert(plain:set("session", "b5", "old", 3600, nil, nil, nil, metadata))
  equal(storage:set("session", "b5", "new", 3600), true)
  equal(storage:get("session", "b5"), "new")
  equal(other:get("session", "b5", ngx.time()), nil)
  -- What has ended here is refused.
  equal(plain:revoke("session", "b", "s"), 1)
  local ok, err = storage:set("session", "b6", "6", 3600, nil, "b5", 10)
  equal(ok, nil)
  assert(err:find("the session has ended", 1, true), err)
  equal(other:get("session", "b6", ngx.time()), nil)

  storage =
    new(configuration { fallback = changed(other, { set = fails }), save_to_fallback = true })
  ok, err = storage:set("session", "b7", "7", 3600)
  equal(ok, nil)
  equal(err, "resty.session.postgres: fallback: it is down")
end

-- Between the looks here and there, another request may have moved it.
function checks.a_session_is_found_while_it_moves(other)
  local plain = new(configuration {})
  local storage = new(configuration {
    fallback = changed(other, {
      get = function(_, name, key)
        assert(plain:set(name, key, "moved", 3600))
      end,
    }),
  })
  equal(storage:get("session", "moving"), "moved")
end

function checks.statistics_say_whether_the_other_is_needed(other)
  -- Counters belong to a pool.
  local storage = new(configuration { fallback = other, pool = "counted " .. ngx.var.arg_store })
  assert(other:set("session", "counted", "1", 3600, ngx.time()))
  equal(fallback_counts(storage), "0 0 0")
  storage:get("session", "counted")
  storage:get("session", "uncounted")
  equal(fallback_counts(storage), "1 1 0")
  storage:set("session", "counted 2", "2", 3600, nil, "counted", 10)
  equal(fallback_counts(storage), "2 1 0")
  storage:get("session", "counted 2")
  storage:set("session", "counted 3", "2", 3600, nil, "counted 2", 10)
  equal(fallback_counts(storage), "2 1 0")
  other = changed(other, { get = fails })
  new(configuration { fallback = other, pool = "counted " .. ngx.var.arg_store }):get(
    "session",
    "x"
  )
  equal(fallback_counts(storage), "2 1 1")
  assert(storage:metrics():find('fallback_total{outcome="found"} 2\n', 1, true))
end

function checks.a_wrong_fallback_is_refused(other)
  local function refused(more, reason)
    local ok, err = pcall(new, configuration(more))
    equal(ok, false)
    equal(err, "resty.session.postgres: bad argument #1 to 'new' (" .. reason .. ")")
  end
  local expected =
    "fallback: expected a storage of lua-resty-session, such as its `new` returns, got "
  refused({ fallback = "redis" }, expected .. "a string")
  refused({ fallback = false }, expected .. "a boolean")
  refused(
    { fallback = { get = print, set = print } },
    expected .. "a table without the method delete"
  )
  refused({ save_to_fallback = true }, "save_to_fallback: expected fallback beside it")
  local wrong = "save_to_fallback: expected a boolean (true or false), got a string"
  refused({ fallback = other, save_to_fallback = "yes" }, wrong)

  local storage = new(configuration { fallback = other })
  for _, call in ipairs {
    { "get", "session" },
    { "set", "session", "key", 1, 3600 },
    { "set", "session", "key", "1", 3600, nil, 5, 5 },
    { "delete", "session" },
    { "read_metadata", "session", "a" },
  } do
    local ok, err = pcall(function()
      local value = storage[call[1]](storage, unpack(call, 2, 8))
      return value
    end)
    equal(ok, false, call[1])
    assert(err:find("fallback.lua:%d+: bad argument #%d to '" .. call[1] .. "'"), err)
  end
end

return function()
  local args = ngx.req.get_uri_args()
  checks[args.check](stores[args.store]())
  ngx.print "done"
end
