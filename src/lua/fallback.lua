-- Moving in from another store: the methods of an instance that has a `fallback`, another storage
-- of lua-resty-session. Sessions that are not here yet are read there; a save comes here, and ends
-- there what it replaces. Where this table has a row of a session, alive or not, the other storage
-- is not asked for it: a session that was signed out would return.

local count = ...

local error = error
local ipairs = ipairs
local pairs = pairs
local pcall = pcall
local time = os.time
local tonumber = tonumber
local tostring = tostring
local type = type

-- What storages of lua-resty-session answer as an error where they have no such session.
local MISSES = {
  ["NOT_FOUND"] = true, -- memcached's delete
  ["expired"] = true, -- file
  ["not found"] = true, -- metadata
  ["session not found"] = true, -- MySQL
}

local function is_miss(err)
  return err == nil or MISSES[err] or type(err) == "string" and err:find("No such file", 1, true)
end

-- Success and a miss are one value: a second nil would be printed by ngx.print.
local function answer(first, second)
  if second == nil then
    return first
  end
  return first, second
end

local function done(err)
  if err == nil then
    return true
  end
  return nil, err
end

-- Calls the other storage. nil where it has no such session; nil and a message where it fails or
-- raises.
local function ask(self, method, ...)
  local other = self.fallback
  local ran, first, second = pcall(other[method], other, ...)
  if not ran then
    first, second = nil, tostring(first)
  end
  if first then
    return first
  elseif is_miss(second) then
    return nil
  end
  count(self.storage, "failed")
  return nil, "resty.session.postgres: fallback: " .. tostring(second)
end

local function look(self, ...)
  local value, err = ask(self, "get", ...)
  if err == nil then
    count(self.storage, value and "found" or "missing")
  end
  return value, err
end

-- A save that the other storage may not leave undone.
local function save_there(self, ...)
  local ok, err = ask(self, "set", ...)
  if not ok then
    return nil, err or "resty.session.postgres: fallback: its set did not save"
  end
  return true
end

local function refuse(reason)
  error("resty.session.postgres: bad argument #1 to 'new' (" .. reason .. ")", 4)
end

-- Whether the configuration has a fallback, which the instance then holds. Raises at the caller of
-- `new`.
local function is_moving(self, configuration)
  local other, saves = configuration.fallback, configuration.save_to_fallback
  if other == nil and saves == nil then
    return false
  elseif saves ~= nil and type(saves) ~= "boolean" then
    refuse("save_to_fallback: expected a boolean (true or false), got a " .. type(saves))
  elseif other == nil then
    refuse "save_to_fallback: expected fallback beside it"
  end
  local got = type(other) ~= "table" and "a " .. type(other)
  for _, name in ipairs { "set", "get", "delete" } do
    got = got or type(other[name]) ~= "function" and "a table without the method " .. name
  end
  if got then
    local expected = "a storage of lua-resty-session, such as its `new` returns"
    refuse("fallback: expected " .. expected .. ", got " .. got)
  end
  self.fallback, self.saves_there = other, saves
  return true
end

-- Returns `is_moving`, and the metatable of instances for which it is true. `here` has the methods
-- of those without a fallback, which raise at their caller's caller.
return function(here, plain)
  local metatable = {}
  for name, method in pairs(plain) do
    metatable[name] = method
  end
  metatable.__index = metatable

  function metatable:get(name, key, now)
    local value, err = here.get(self, name, key, now)
    if value ~= nil or err ~= nil then
      return answer(value, err)
    end
    local state
    state, err = here.state(self, name, key, now)
    if err ~= nil or state ~= nil and state ~= "live" then
      return answer(nil, err)
    elseif state == nil then
      value, err = look(self, name, key, tonumber(now) or time())
      if value ~= nil or err ~= nil then
        return answer(value, err)
      end
    end
    -- A save may have brought it here meanwhile.
    return answer(here.get(self, name, key, now))
  end

  -- With `old_key`, lua-resty-session saves under a key that is new. Without one, it may save a
  -- session anew that is there.
  function metatable:set(name, key, value, ttl, now, old_key, stale_ttl, metadata, remember)
    local replaced = old_key == nil and key or old_key
    if type(replaced) ~= "string" then
      -- It says what is wrong.
      return answer(here.set(self, name, key, value, ttl, now, old_key, stale_ttl))
    end
    local state, err = here.state(self, nil, replaced, tonumber(now))
    if err ~= nil then
      return nil, err
    end
    local moment, stale = tonumber(now) or time(), tonumber(stale_ttl)
    local _

    if self.saves_there and (state == nil or state == "live" and old_key ~= nil) then
      local lives, old = tonumber(ttl), state == nil and old_key or nil
      _, err = save_there(self, name, key, value, lives, moment, old, stale, metadata, remember)
      if err == nil and state ~= nil then
        _, err = here.touch(self, nil, old_key, remember == true and -1 or stale_ttl, now)
      end
      return done(err)
    end

    -- Here first: if that fails, nothing has happened. If the end there fails, the caller has an
    -- error, and goes on with the session that it has.
    _, err = here.set(self, name, key, value, ttl, now, old_key, stale_ttl, metadata, remember)
    if err ~= nil or state ~= nil then
      return done(err)
    end
    local found
    found, err = look(self, name, replaced, moment)
    if found and old_key ~= nil and remember ~= true then
      -- A save that replaces is how a storage brings an expiry forward, and never puts it off. What
      -- it saves is gone after a second.
      _, err = save_there(self, name, key, value, 1, moment, old_key, stale)
    elseif found then
      _, err = ask(self, "delete", name, replaced, moment, metadata)
    end
    return done(err)
  end

  function metatable:delete(name, key, now, metadata)
    if type(now) == "table" then
      now, metadata = nil, now
    end
    local _, state, err
    if type(key) == "string" then
      state, err = here.state(self, nil, key)
      if err == nil and state == nil then
        -- Only a row becomes a mark, which refuses saves of requests that have read the session
        -- there.
        _, err = here.set(self, name or "", key, "", -1)
      end
    end
    if err == nil then
      _, err = here.delete(self, name, key, now)
    end
    if err == nil then
      _, err = ask(self, "delete", name, key, tonumber(now) or time(), metadata)
    end
    return done(err)
  end

  function metatable:read_metadata(name, audience, subject, now)
    local sessions, err = here.read_metadata(self, name, audience, subject, now)
    if not sessions or type(self.fallback.read_metadata) ~= "function" then
      return answer(sessions, err)
    end
    local moment = tonumber(now) or time()
    local there
    there, err = ask(self, "read_metadata", name, audience, subject, moment)
    for key, expires in pairs(there or {}) do
      local state, value
      state, err = here.state(self, nil, key)
      -- Its metadata may name a session that has ended.
      if err == nil and state == nil then
        value, err = ask(self, "get", name, key, moment)
      end
      if err ~= nil then
        return nil, err
      elseif value then
        sessions[key] = tonumber(expires) or expires
      end
    end
    return answer(err == nil and sessions or nil, err)
  end

  return is_moving, metatable
end
