-- The pump: brings outcomes from the native module's threads to the coroutines that wait for them.
--
-- Each waiting coroutine sleeps on a semaphore of its own. One zero-delay timer for each Lua VM
-- reads a socket on which the library writes a byte when outcomes are ready, drains them, and posts
-- the semaphores. Only this worker's own thread touches them.

local native = require("resty_session_postgres").native
local semaphore = require "ngx.semaphore"

local ngx = ngx
local get_phase = ngx.get_phase
local log = ngx.log
local now = ngx.now
local sleep = ngx.sleep
local tcp = ngx.socket.tcp
local timer_at = ngx.timer.at
local exiting = ngx.worker.exiting
local pcall = pcall
local tostring = tostring

local ERR = ngx.ERR
local INFO = ngx.INFO

-- Where a coroutine may yield.
local YIELDS = {
  server_rewrite = true,
  rewrite = true,
  access = true,
  content = true,
  timer = true,
  preread = true,
  ssl_cert = true,
  ssl_client_hello = true,
  ssl_session_fetch = true,
}

-- Seconds between two heartbeats, and milliseconds without any byte after which a read ends. The
-- former is the shorter by far, so that no read ever times out: nginx would log that as an error. A
-- heartbeat also brings lines to nginx's log where no outcome does.
local HEARTBEAT = 10
local READ_TIMEOUT = 24 * 3600 * 1000

-- A waiting coroutine's own limit ends this many seconds after the engine's, whose answer says
-- more.
local GRACE = 0.2

-- Seconds in which the pump's timer should have started. It does not start where as many timers run
-- as lua_max_running_timers allows; all of them may be waiting for the pump.
local START = 0.25

local queue = native.queue()

-- Waiting coroutines by their ticket. One that was killed while it waited stays until its outcome
-- comes, which the engine's deadline bounds.
local waiting = {}
local waiting_count = 0

-- Waiters for reuse: only those whose semaphore is known to be at zero.
local spare = {}
local spare_count = 0

-- The pump's timer was started; and it runs.
local running = false
local pumping = false
local stopping = false
local watched = false

-- With lua_code_cache off each request has a VM of its own, which lives as long as a timer of it.
-- The pump of such a VM (any but the worker's first) ends as soon as no coroutine waits.
local transient

local function print_log()
  local lines = native.take_log()
  if lines then
    for i = 1, #lines, 2 do
      log(ngx[lines[i]], "resty.session.postgres: ", lines[i + 1])
    end
  end
end

local function drain()
  repeat
    local drained = { queue:drain() }
    local i = 1
    local ticket = drained[i]
    while ticket do
      local waiter = waiting[ticket]
      if waiter then
        waiting[ticket] = nil
        waiting_count = waiting_count - 1
        waiter.first = drained[i + 1]
        waiter.second = drained[i + 2]
        waiter.semaphore:post(1)
      end
      i = i + 3
      ticket = drained[i]
    end
  until i == 1
  print_log()
end

local function may_end()
  return waiting_count == 0 and (stopping or transient or exiting())
end

local watch

local sock

local function connect()
  local path = assert(queue:listen())
  sock = assert(tcp())
  sock:settimeouts(1000, 1000, READ_TIMEOUT)
  assert(sock:connect("unix:" .. path))
  assert(queue:accept())
end

-- Returns when there is nothing left to do; raises what goes wrong.
local function pump_until_done()
  connect()
  while true do
    drain()
    if may_end() then
      break
    end
    if not watched and not transient then
      watched = timer_at(HEARTBEAT, watch)
    end
    local data, err = sock:receiveany(4096)
    if not data and err ~= "timeout" then
      error(err)
    end
  end
end

-- Without the socket, the queue is looked at every few milliseconds.
local function poll_a_while()
  for _ = 1, 200 do
    sleep(0.005)
    drain()
    if waiting_count == 0 then
      return
    end
  end
end

local function pump()
  pumping = true
  repeat
    local ok, err = pcall(pump_until_done)
    if sock then
      sock:close()
      sock = nil
    end
    if not ok then
      log(ERR, "resty.session.postgres: pump: ", tostring(err))
      poll_a_while()
    end
  until ok or may_end()
  queue:close()
  if not transient then
    log(INFO, "resty.session.postgres: no coroutine waits any more in this worker, which exits")
  end
  pumping = false
  running = false
end

-- A running timer is not notified when its worker exits; a pending one is run at once then.
function watch(premature)
  stopping = premature
  watched = false
  queue:wake()
end

local function is_transient()
  if transient == nil then
    transient = not native.is_first_event_loop()
  end
  return transient
end

local function start()
  is_transient()
  running = timer_at(0, pump)
  return running
end

-- Where no coroutine has waited, no pump brings the lines of the clean-up to nginx's log.
local printing

local function print_later(premature)
  print_log()
  printing = not premature and not running and timer_at(HEARTBEAT, print_later)
end

local function start_printing()
  if not running and not printing and not is_transient() then
    -- Some phases have no timers.
    local ok, started = pcall(timer_at, HEARTBEAT, print_later)
    printing = ok and started
  end
end

local completions = {}

-- The queue to submit to, where the caller may yield and the pump runs; nil otherwise.
function completions.queue()
  local phase = get_phase()
  if not YIELDS[phase] or stopping or exiting() and not running then
    -- The master has no timers.
    if phase ~= "init" then
      start_printing()
    end
    return nil
  end
  if not running and not start() then
    return nil
  end
  return queue
end

-- For a waiter whose pump has not started: looks for the outcome by itself.
local function look_for(ticket, seconds)
  local ends = now() + seconds
  running = pumping
  repeat
    drain()
    if not waiting[ticket] then
      return
    end
    sleep(0.01)
  until pumping or now() > ends
end

-- Lets the event loop come round. After a sleep of 0 some versions go on in the same round.
function completions.pause()
  sleep(0.001)
end

-- Waits for the outcome of a ticket.
function completions.wait(ticket, seconds)
  local waiter
  if spare_count > 0 then
    waiter = spare[spare_count]
    spare[spare_count] = nil
    spare_count = spare_count - 1
  else
    local created, err = semaphore.new(0)
    if not created then
      return nil, err
    end
    waiter = { semaphore = created }
  end
  waiting[ticket] = waiter
  waiting_count = waiting_count + 1
  local limit = seconds + GRACE
  local starting = not pumping
  local ok, err = waiter.semaphore:wait(starting and START or limit)
  if starting and not ok and waiting[ticket] then
    if not pumping then
      look_for(ticket, limit)
    end
    if pumping and waiting[ticket] then
      ok, err = waiter.semaphore:wait(limit)
    end
  end
  if waiting[ticket] then
    waiting[ticket] = nil
    waiting_count = waiting_count - 1
    local reason = err or "woken without one"
    return nil, "resty.session.postgres: no outcome after " .. seconds .. " s: " .. reason
  end
  local first, second = waiter.first, waiter.second
  if ok then
    waiter.first, waiter.second = nil, nil
    spare_count = spare_count + 1
    spare[spare_count] = waiter
  end
  -- Otherwise the outcome came after the time was up, before this coroutine ran again: the
  -- semaphore was posted all the same, and would wake its next user at once.
  return first, second
end

completions.log = print_log

return completions
