-- wrk script: genuine Telegram deliveries, each one new.
-- Arguments: secret token, first number of this round, mean pause of a connection between two requests in ms (0: none).
-- A thread counts in a range of its own.

local threads = 0
local RANGE = 10000000

local BODY = '{"update_id":%d,"message":{"message_id":%d,"from":{"id":%d,"is_bot":false,"first_name":"Ada",'
  .. '"last_name":"Lovelace","username":"ada","language_code":"en"},"chat":{"id":%d,"first_name":"Ada",'
  .. '"last_name":"Lovelace","username":"ada","type":"private"},"date":1790000000,'
  .. '"text":"Where is my order number %d? I have been waiting since Monday."}}'
local HEAD = "POST /c/tg HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
  .. "X-Telegram-Bot-Api-Secret-Token: %s\r\nContent-Length: %d\r\n\r\n"

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(args)
  secret = args[1]
  count = tonumber(args[2]) + number * RANGE
  pause = tonumber(args[3])
  if pause > 0 then
    math.randomseed(number + 1)
    delay = function() return math.random(0, 2 * pause) end
  end
end

function request()
  count = count + 1
  local person = 100000 + count % 997
  local body = string.format(BODY, count, count, person, person, count)
  return string.format(HEAD, secret, #body) .. body
end

function done(summary, latency, requests)
  io.write(string.format(
    '{"answers":%d,"secs":%.6f,"p50_ms":%.3f,"p99_ms":%.3f,"max_ms":%.3f,"refused":%d,"broken":%d,"timeouts":%d}\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3,
    summary.errors.status, summary.errors.connect + summary.errors.read + summary.errors.write, summary.errors.timeout
  ))
end
