-- The pump: brings outcomes from the native module's threads to the coroutines that wait.
--
-- Each waiting coroutine sleeps on a semaphore of its own. The pump runs in a timer, one for each
-- Lua VM. It reads a socket on which the library writes a byte when outcomes are ready, drains
-- them, and posts the semaphores. Only this worker's own thread touches them.
--
-- While no pump runs, each waiting coroutine looks for its outcome itself, every millisecond. That
-- is so in a VM that lives for one request (lua_code_cache off), in a worker that shuts down, which
-- must not wait for a pump, and where nginx has no timer or the system no socket for a pump.

local native = ...
local semaphore = require "ngx.semaphore"

local ngx = ngx
local get_phase = ngx.get_phase
local log = ngx.log
local now = ngx.now
local sleep = ngx.sleep
local tcp = ngx.socket.tcp
local timer_at = ngx.timer.at
local exiting = ngx.worker.exiting
local assert = assert
local error = error
local huge = math.huge
local next = next
local pcall = pcall
local tostring = tostring

local WARN = ngx.WARN

-- Seconds between two looks for an outcome, and between a pump's creation and its start. OpenResty
-- runs a timer of 0 seconds after the posted events of a turn: a semaphore that it posts is noticed
-- with the next event only, whenever that is.
local MOMENT = 0.001

-- Seconds between two heartbeats, and milliseconds without any byte after which a read ends. The
-- former is the shorter by far, so that no read ever times out: nginx would log that as an error. A
-- heartbeat also brings lines to nginx's log where no outcome does.
local HEARTBEAT = 10
local READ_TIMEOUT = 24 * 3600 * 1000

-- A waiting coroutine's own limit ends this many seconds after the engine's, whose answer says
-- more.
local GRACE = 0.2

-- Seconds until the next pump is started, where one could not start or has failed. nginx logs an
-- alert for each timer beyond lua_max_running_timers.
local RETRY = 10

local queue = native.queue()

-- Waiting coroutines by their ticket. One that was killed while it waited stays until its outcome
-- comes, which the engine's deadline bounds.
local waiting = {}

-- Waiters for reuse: only those whose semaphore is known to be at zero.
local spare = {}
local spare_count = 0

local pumping = false
local stopping = false
local watched = false
local next_start
local reported

local function print_log()
  local lines = native.take_log()
  if lines then
    for i = 1, #lines, 2 do
      log(ngx[lines[i]], "resty.session.postgres: ", lines[i + 1])
    end
  end
end

local function post(waiter)
  if waiter.asleep then
    waiter.asleep = false
    waiter.semaphore:post(1)
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
        waiter.first = drained[i + 1]
        waiter.second = drained[i + 2]
        post(waiter)
      end
      i = i + 3
      ticket = drained[i]
    end
  until i == 1
  print_log()
end

-- A running timer is not notified when its worker exits; a pending one is run at once then.
local function watch(premature)
  stopping = premature
  watched = false
  queue:wake()
end

local function keep_watch()
  if not watched then
    watched = assert(timer_at(HEARTBEAT, watch))
  end
end

local function connect(sock)
  local host, port, secret = queue:listen()
  assert(host, port)
  sock:settimeouts(1000, 1000, READ_TIMEOUT)
  if port then
    assert(sock:connect(host, port))
    assert(sock:send(secret))
  else
    assert(sock:connect(host))
  end
  assert(queue:accept())
end

-- Returns when the worker exits; raises what goes wrong.
local function serve(sock)
  keep_watch()
  connect(sock)
  pumping, reported = true, nil
  drain()
  while not stopping do
    keep_watch()
    local data, err = sock:receiveany(4096)
    if not data and err ~= "timeout" then
      error(err)
    end
    drain()
  end
end

local function report(err)
  err = tostring(err)
  if err ~= reported and not exiting() then
    reported = err
    log(
      WARN,
      "resty.session.postgres: answers are looked for every millisecond, since no pump runs: ",
      err
    )
  end
end

local function pump(premature)
  if premature or pumping then
    return
  end
  local sock = tcp()
  local ok, err = pcall(serve, sock)
  pumping = false
  sock:close()
  queue:close()
  for _, waiter in next, waiting do
    post(waiter)
  end
  if not ok then
    next_start = now() + RETRY
    report(err)
  end
end

local function start()
  if not next_start then
    next_start = native.is_first_event_loop(ngx.config.subsystem) and 0 or huge
  end
  if now() < next_start or exiting() then
    return
  end
  next_start = now() + RETRY
  local ok, err = timer_at(MOMENT, pump)
  if not ok then
    report(err)
  end
end

-- Phases by their names, with whether a coroutine may yield there. In init_by_lua there is no event
-- loop, and no semaphore may be made.
local yields = { init = false }
local probe

-- A semaphore at zero, asked without waiting, answers where a coroutine may wait.
local function may_yield(named, phase)
  if named and yields[phase] ~= nil then
    return yields[phase]
  end
  probe = probe or assert(semaphore.new(0))
  local _, err = probe:wait(0)
  if named then
    yields[phase] = err == "timeout"
  end
  return err == "timeout"
end

local completions = {}

-- The queue to submit to, where the caller may yield; nil otherwise.
function completions.queue()
  local named, phase = pcall(get_phase)
  if may_yield(named, phase) then
    return queue
  end
  -- A call that blocks needs no pump, but the clean-up's lines do. The master has no timers, and
  -- neither have some phases.
  if phase ~= "init" and not pumping then
    pcall(start)
  end
  return nil
end

-- Lets the event loop come round. After a sleep of 0 some versions go on in the same round.
function completions.pause()
  sleep(MOMENT)
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
    waiter = { semaphore = created, asleep = false }
  end
  waiting[ticket] = waiter
  local ends = now() + seconds + GRACE
  local ok, err = true, "timeout"
  repeat
    if pumping then
      waiter.asleep = true
      ok, err = waiter.semaphore:wait(ends - now())
    else
      start()
      sleep(MOMENT)
      drain()
    end
  until not (ok and waiting[ticket]) or now() >= ends
  if waiting[ticket] then
    waiting[ticket] = nil
    return nil, "resty.session.postgres: no outcome after " .. seconds .. " s: " .. tostring(err)
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
