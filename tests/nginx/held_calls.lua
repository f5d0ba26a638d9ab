-- Calls that wait for a locked row, and how long a neighbour in their worker is held up meanwhile.
--
-- The test and the worker talk through files: other phases than a request's have no response, and
-- nginx's two subsystems no shared dictionary.

local cjson = require "cjson"

local folder = os.getenv "FLAGS"

local held_calls = {}

local function raise(flag, text)
  local file = assert(io.open(folder .. "/" .. flag .. ".new", "w"))
  file:write(text or "")
  file:close()
  assert(os.rename(folder .. "/" .. flag .. ".new", folder .. "/" .. flag))
end

local function is_raised(flag)
  local file = io.open(folder .. "/" .. flag)
  return file and file:close()
end

-- Calls the storage once the test allows it. Sets the session with the phase's name.
function held_calls.call(name)
  raise("begun-" .. name)
  repeat
    ngx.sleep(0.005)
  until is_raised "go"
  local configuration = cjson.decode(os.getenv "STORAGE")
  local storage = require("resty.session.postgres").new(configuration)
  local ok, err = storage:set("session", name, "second", 3600)
  raise("outcome", tostring(ok) .. " " .. tostring(err))
end

-- Ticks until the call has its outcome, and answers the longest time between two ticks.
function held_calls.neighbour()
  raise "begun-neighbour"
  local longest = 0
  local exiting = 0
  repeat
    if ngx.worker.exiting() then
      exiting = exiting + 1
      if exiting == 5 then
        raise "exiting"
      end
    end
    local before = ngx.now()
    ngx.sleep(0.005)
    ngx.update_time()
    longest = math.max(longest, ngx.now() - before)
  until is_raised "outcome"
  ngx.print(longest)
end

return held_calls
