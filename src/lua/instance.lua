-- The Lua half of the native module: instances and their methods over the native functions.
-- Returns a function that binds them to a way of waiting: with completions (see pump.lua) where
-- the caller may yield, blocking elsewhere and without.

local native = ...

local error = error
local pairs = pairs
local setmetatable = setmetatable
local type = type

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
local function method(run, completions)
  return function(self, ...)
    local storage = type(self) == "table" and self.storage
    if type(storage) ~= "userdata" then
      error("a storage expected as the first argument: call the method with a colon", 2)
    end
    local queue = completions and completions.queue()
    local first, second = run(storage, queue, ...)
    if first == false then
      error(second, 2)
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

  local storage = {}

  function storage.new(configuration)
    local made, seconds = native.storage(configuration)
    if not made then
      error(seconds, 2)
    end
    if completions then
      completions.log()
    end
    return setmetatable({ storage = made, seconds = seconds }, metatable)
  end

  return storage
end
