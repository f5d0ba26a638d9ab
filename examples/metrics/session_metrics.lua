-- Sums what the workers count, through a shared dict:
--
--     lua_shared_dict session_metrics 1m;
--     init_worker_by_lua_block { require("session_metrics").start(storage) }
--     location = /metrics { content_by_lua_block {
--       ngx.print(require("session_metrics").text(storage)) } }
--
-- A worker that ends takes its counts along: Prometheus sees that as a counter's reset.

local assert = assert
local find = string.find
local max = math.max
local pairs = pairs
local sub = string.sub

local dict = ngx.shared.session_metrics

local session_metrics = {}

-- Writes this worker's samples to the dict every `seconds` (10 by default). They outlive three of
-- those.
function session_metrics.start(storage, seconds)
  seconds = seconds or 10
  local id = ngx.worker.id() .. " "
  assert(ngx.timer.every(seconds, function()
    for name, value in pairs(storage:stats() or {}) do
      dict:set(id .. name, value, 3 * seconds)
    end
  end))
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
