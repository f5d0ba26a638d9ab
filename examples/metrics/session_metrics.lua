-- Sums what the workers count, through a shared dict:
--
--     lua_shared_dict session_metrics 1m;
--     init_worker_by_lua_block { require("session_metrics").start(storage) }
--     exit_worker_by_lua_block { require("session_metrics").tell() }
--     location = /metrics { content_by_lua_block {
--       ngx.print(require("session_metrics").text(storage)) } }
--
-- Counters only grow, through reloads too: each worker adds what it has counted since it last did,
-- and at its end what is left: its last requests end after its timers. Gauges are each worker's
-- own, for as long as it tells them.

local assert = assert
local find = string.find
local match = string.match
local max = math.max
local pairs = pairs
local sub = string.sub

local dict = ngx.shared.session_metrics

local session_metrics = {}

-- Prometheus's endings of what only grows.
local COUNTERS = { total = true, bucket = true, sum = true, count = true }

local function is_counter(name)
  return COUNTERS[match(name, "_(%a+)$") or match(name, "_(%a+){")]
end

-- Tells the dict this worker's samples now. Before `start`, there are none.
function session_metrics.tell() end

-- Tells the dict this worker's samples every `seconds` (10 by default). Gauges outlive three of
-- those.
function session_metrics.start(storage, seconds)
  seconds = seconds or 10
  local id = ngx.worker.id() .. " "
  local reported = {}

  local function tell()
    local counted = {}
    for name, value in pairs(storage:stats() or {}) do
      if is_counter(name) then
        -- A storage that was not used for a while may count from 0 again.
        local before = reported[name] or 0
        local more = value < before and value or value - before
        local is_told = more == 0 or dict:incr("all " .. name, more, 0)
        counted[name] = is_told and value or before
      else
        dict:set(id .. name, value, 3 * seconds)
      end
    end
    reported = counted
  end

  session_metrics.tell = tell
  assert(ngx.timer.every(seconds, tell))
end

-- The sums as Prometheus reads them. The last clean-up is the last of any worker.
function session_metrics.text(storage)
  local sums = {}
  for _, key in pairs(dict:get_keys(0)) do
    local name = sub(key, (find(key, " ", 1, true)) + 1)
    local value, sum = dict:get(key) or 0, sums[name] or 0
    sums[name] = find(name, "timestamp", 1, true) and max(sum, value) or sum + value
  end
  return storage:metrics(sums)
end

return session_metrics
