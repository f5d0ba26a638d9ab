-- A script for wrk: prints a line of numbers for bench/lib/nginx.sh and, given a file of cookies,
-- sends one of them with each request.
-- luacheck: globals wrk init request done

function init(args)
  if not args[1] then
    return
  end
  local requests = {}
  for cookie in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format(nil, nil, { Host = wrk.headers.Host, Cookie = cookie })
  end
  -- Without this function wrk repeats one request, which is cheaper.
  function request()
    return requests[math.random(#requests)]
  end
end

-- Requests a second, the median and the 99th percentile in milliseconds, the number of requests;
-- then the failures: of connecting, reading and writing, by status, by wrk's timeout.
function done(summary, latency)
  local errors = summary.errors
  print(
    ("report %.1f %.3f %.3f %d %d %d %d %d %d"):format(
      summary.requests / (summary.duration / 1e6),
      latency:percentile(50) / 1000,
      latency:percentile(99) / 1000,
      summary.requests,
      errors.connect,
      errors.read,
      errors.write,
      errors.status,
      errors.timeout
    )
  )
end
