-- wrk script: genuine WhatsApp deliveries, each one new, written and signed beforehand (Lua has no HMAC).
-- Arguments: the file (a line with a length, then so many bytes of one HTTP request, and so on), and how many to leave
-- out at its beginning. A second pass over the file would send duplicates, so `done` says whether there was one.

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  local file = assert(io.open(args[1], "rb"))
  requests = {}
  for line in file:lines() do
    requests[#requests + 1] = file:read(tonumber(line))
    file:read(1)
  end
  file:close()
  next_one = tonumber(args[2])
  passes = 0
end

function request()
  next_one = next_one + 1
  if next_one > #requests then
    next_one = 1
    passes = passes + 1
  end
  return requests[next_one]
end

function done(summary, latency, _)
  local again = 0
  for _, thread in ipairs(threads) do
    again = again + thread:get("passes")
  end
  io.write(string.format(
    '{"answers":%d,"secs":%.6f,"p50_ms":%.3f,"p99_ms":%.3f,"max_ms":%.3f,"refused":%d,"broken":%d,"timeouts":%d,"again":%d}\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3,
    summary.errors.status, summary.errors.connect + summary.errors.read + summary.errors.write, summary.errors.timeout,
    again
  ))
end
