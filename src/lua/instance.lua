-- The Lua half of the native module: instances and their methods over the native functions.
-- Returns a function that binds them to a way of waiting: with completions (see pump.lua) where
-- the caller may yield, blocking elsewhere and without.

local native = ...

local error = error
local pairs = pairs
local setmetatable = setmetatable
local type = type

-- Success is one value: a second nil would be printed by ngx.print.
local function bare(first, second)
  if second == nil then
    return first
  end
  return first, second
end

-- The native storage of an instance; of anything else it is an error where the method was called.
local function handle(self)
  local storage = type(self) == "table" and self.storage
  if type(storage) ~= "userdata" then
    error("a storage expected as the first argument: call the method with a colon", 3)
  end
  return storage
end

-- Native functions answer `false, message` for what is the caller's mistake; it is raised at the
-- caller's line. A miss is a bare nil, without a second value.
local function method(run, completions)
  return function(self, ...)
    local storage = handle(self)
    local queue = completions and completions.queue()
    local first, second = run(storage, queue, ...)
    if first == false then
      error(second, 2)
    end
    if queue and first then
      first, second = completions.wait(first, self.seconds)
    end
    return bare(first, second)
  end
end

return function(completions)
  local metatable = {}
  for name, run in pairs(native.methods) do
    metatable[name] = method(run, completions)
  end

  -- Waits for nobody, so it needs no completions.
  function metatable.set_password(self, password)
    local ok, message = native.set_password(handle(self), password)
    if ok == false then
      error(message, 2)
    end
    return bare(ok, message)
  end

  function metatable:stats()
    return bare(native.stats(handle(self)))
  end

  function metatable:metrics(stats)
    if stats ~= nil and type(stats) ~= "table" then
      error("bad argument #1 to 'metrics' (stats: table expected, got " .. type(stats) .. ")", 2)
    end
    return bare(native.metrics(handle(self), stats))
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
