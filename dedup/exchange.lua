-- One exchange of `dedup.redis`: commit, release and claim, in this order, as one atomic step.
--
-- ARGV[1] is MessagePack: prefix, owner, lease in ms, takes, done, released (fields in the order of `dedup.api`);
-- the answer is MessagePack too: one {claim, seq, redelivery} per take. One argument and one reply keep the client
-- cheap: it packs and parses them in C, whatever the size of the batch.
--
-- Values, all with an expiry:
--   <prefix>k:<key>           d:<ms of the commit>  |  c:<owner>:<deadline in ms>:<redelivery>
--   <prefix>c:<conversation>  <seq> <address>
-- Numbers are doubles: microseconds since 1970 are exact below 2^53, which lasts until the year 2255.

local CONVERSATION_SECS = '7776000' -- 90 days, renewed by every message
local CHUNK = 1000 -- keys per MGET: `unpack` must fit on Lua's stack

local prefix, owner, lease, takes, done, released = unpack(cmsgpack.unpack(ARGV[1]))
local call, format, match = redis.call, string.format, string.match

local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local memo = {} -- there are as many terms as channels
local function millis(secs)
  local found = memo[secs]
  if not found then
    found = format('%.0f', math.max(1, secs * 1000)) -- 0 would be an error of SET
    memo[secs] = found
  end
  return found
end

local committed, keys = format('d:%.0f', now), prefix .. 'k:'
for i = 1, #done do
  local one = done[i]
  call('SET', keys .. one[1], committed, 'PX', millis(one[2]))
end

local mine = 'c:' .. owner .. ':'
for i = 1, #released do
  local key = keys .. released[i]
  local value = call('GET', key)
  if value and string.sub(value, 1, #mine) == mine then
    local earlier = tonumber(match(value, ':(%d+)$'))
    if earlier == 0 then
      call('DEL', key)
    else -- nobody's, free at once, but earlier attempts of unknown outcome stay known
      call('SET', key, format('c::0:%.0f', earlier - 1), 'PX', math.max(1, call('PTTL', key)))
    end
  end
end

local names, have, conversations = {}, {}, prefix .. 'c:'
for i = 1, #takes do
  local take = takes[i]
  names[2 * i - 1] = keys .. take[1]
  names[2 * i] = conversations .. take[2]
end
for at = 1, #names, CHUNK do
  local values = call('MGET', unpack(names, at, math.min(at + CHUNK - 1, #names)))
  for i = 1, #values do
    have[names[at + i - 1]] = values[i]
  end
end

local function next_seq(name, take)
  if take[2] == '' then
    return 0
  end
  local last, address, known = 0, take[3], have[name]
  if known then
    local gap = string.find(known, ' ', 1, true)
    last = string.sub(known, 1, gap - 1)
    if address == '' then
      address = string.sub(known, gap + 1)
    end
  end
  local seq = math.max(take[4], last + 1)
  known = format('%.0f ', seq) .. address
  have[name] = known
  call('SET', name, known, 'EX', CONVERSATION_SECS)
  return seq
end

local claimed = format('%s%.0f:', mine, now + lease)
local first = claimed .. '0'
local answers = {}
for i = 1, #takes do
  local take, name = takes[i], names[2 * i - 1]
  local value, claim = have[name], first
  local redelivery, deadline, earlier = 0, nil, nil
  if value then
    deadline, earlier = match(value, '^c:.*:(%d+):(%d+)$')
    if deadline then
      redelivery = earlier + 1
      claim = format('%s%.0f', claimed, redelivery)
    end
  end
  if value and not deadline then
    answers[i] = { 'duplicate', 0, 0 }
  elseif deadline and tonumber(deadline) > now then
    answers[i] = { 'in_flight', 0, 0 }
  else
    have[name] = claim
    call('SET', name, claim, 'PX', millis(lease / 1000 + take[5]))
    answers[i] = { 'new', next_seq(names[2 * i], take), redelivery }
  end
end
return cmsgpack.pack(answers)
