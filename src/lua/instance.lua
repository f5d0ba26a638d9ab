-- The Lua half of the native module: instances and their methods over the native functions.
-- Returns a function that binds them to a way of waiting: with completions (see pump.lua) where
-- the caller may yield, blocking elsewhere and without.

local native = ...

local concat = table.concat
local error = error
local find = string.find
local getmetatable = getmetatable
local next = next
local pairs = pairs
local pcall = pcall
local setmetatable = setmetatable
local stderr = io.stderr
local type = type

-- Storages that were made, by what their configurations hold: some sites hand one over with
-- each request. Passwords are not kept here. A storage that no instance has any more is removed
-- by the garbage collector.
local made = setmetatable({}, { __mode = "v" })
-- Storages of nginx's master are kept for its workers: it may have read files that they may not.
local made_in_master = {}
-- The seconds that their operations may take.
local seconds_of = setmetatable({}, { __mode = "k" })

local parts = {}

-- What a configuration holds but for its password, as a text. nil for one that is wrong, or
-- that has more than a text says, such as a list of hosts.
local function text_of(configuration)
  if configuration == nil then
    return ""
  end
  if type(configuration) ~= "table" or getmetatable(configuration) ~= nil then
    return nil
  end
  local n = 0
  for key, value in next, configuration do
    local kind = type(value)
    if type(key) ~= "string" or key == "sslpassword" or find(key, "\0", 1, true) then
      return nil
    elseif key == "fallback" or key == "save_to_fallback" then -- luacheck: ignore 542
      -- Not the native storage's.
    elseif key == "password" then
      if kind ~= "string" then
        return nil
      end
    else
      if kind == "boolean" then
        value = value and "true" or "false"
      elseif kind == "number" then
        -- Other numbers have the same text as their neighbours.
        if value % 1 ~= 0 or value < 0 or value > 1e9 then
          return nil
        end
      elseif kind ~= "string" or find(value, "\0", 1, true) then
        return nil
      end
      parts[n + 1], parts[n + 2], parts[n + 3] = key, kind, value
      n = n + 3
    end
  end
  return concat(parts, "\0", 1, n)
end

-- Returns the storage of a configuration, with the seconds that its operations may take, and
-- whether it is a new one. For a wrong configuration, false and a message.
local function storage_of(configuration)
  local text = text_of(configuration)
  local known = text and made[text]
  if known then
    local password = configuration and configuration.password
    if native.has_password(known, password) then
      return known, seconds_of[known], false
    end
  end
  local storage, seconds = native.storage(configuration)
  if text and storage then
    made[text] = storage
    -- ngx may lack the function, and it raises in a phase that it has no name for.
    local _, phase = pcall(ngx and ngx.get_phase)
    if phase == "init" then
      made_in_master[#made_in_master + 1] = storage
    end
    seconds_of[storage] = seconds
  end
  return storage, seconds, true
end

-- Outside of nginx nobody else takes the lines for the log.
local function complain()
  local lines = native.take_log() or {}
  for i = 1, #lines, 2 do
    if lines[i] == "WARN" or lines[i] == "ERR" then
      stderr:write("resty.session.postgres: ", lines[i + 1], "\n")
    end
  end
end

-- A long list comes in slices. Between two of them `pause` lets others run.
local function whole(slices, pause)
  local list = {}
  repeat
    local more, err = slices:fill(list)
    if more == nil then
      return nil, err
    end
    if more and pause then
      pause()
    end
  until not more
  return list
end

-- Native functions answer `false, message` for what is the caller's mistake; it is raised at the
-- caller's line. Success and a miss are one value: a second nil would be printed by ngx.print.
local function method(run, completions, level)
  return function(self, ...)
    local storage = type(self) == "table" and self.storage
    if type(storage) ~= "userdata" then
      error("a storage expected as the first argument: call the method with a colon", level or 2)
    end
    local queue = completions and completions.queue()
    local first, second = run(storage, queue, ...)
    if first == false then
      error(second, level or 2)
    end
    if queue and first then
      first, second = completions.wait(first, self.seconds)
    end
    if type(first) == "userdata" then
      first, second = whole(first, queue and completions.pause)
    end
    if second == nil then
      return first
    end
    return first, second
  end
end

return function(completions)
  local metatable = {}
  for name, run in pairs(native.methods) do
    metatable[name] = method(run, completions)
  end
  -- These ask no server, so they wait for nothing.
  for name, run in pairs(native.local_methods) do
    metatable[name] = method(run)
  end

  metatable.__index = metatable

  function metatable.__newindex()
    error("attempt to update a read-only table", 2)
  end

  -- The same, called by the methods of fallback.lua.
  local inner = {}
  for name, run in pairs(native.methods) do
    inner[name] = method(run, completions, 3)
  end
  local is_moving, moving = native.fallback(native.count_fallback)(inner, metatable)

  local storage = {}

  function storage.new(configuration)
    local native_storage, seconds, is_new = storage_of(configuration)
    if is_new then
      if completions then
        completions.log()
      else
        complain()
      end
    end
    if not native_storage then
      error(seconds, 2)
    end
    local self = { storage = native_storage, seconds = seconds }
    if configuration ~= nil and is_moving(self, configuration) then
      return setmetatable(self, moving)
    end
    return setmetatable(self, metatable)
  end

  return storage
end
