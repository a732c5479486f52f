-- The counts of `analyzer_service.quota.MemoryQuota`, kept in Redis for all replicas. Redis runs a script without interruption.
-- KEYS: for each group, its log (sorted set: receipt by time) and its state (hash). ARGV: operation, time in microseconds or ''
-- for the clock of Redis, length of the window in microseconds, then what the operation needs. Numbers stay below 2^53.
local operation, window = ARGV[1], tonumber(ARGV[3])
local now = tonumber(ARGV[2])
if not now then
  local clock = redis.call('TIME')
  now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
end
local DAY, OFFSET = 86400000000, 28800000000
local KEPT_SECONDS = 172800

local function text(number)
  return string.format('%.0f', number)
end

local function next_reset(at)
  return (math.floor((at - OFFSET) / DAY) + 1) * DAY + OFFSET
end

local function number(state, name)
  return tonumber(redis.call('HGET', state, name) or '0')
end

-- Leaves the last minute and the current day.
local function forget(log, state)
  local gone = redis.call('ZRANGEBYSCORE', log, '-inf', text(now - window))
  for _, receipt in ipairs(gone) do
    redis.call('HINCRBY', state, 'tokens', text(0 - number(state, 'of:' .. receipt)))
    redis.call('HDEL', state, 'of:' .. receipt)
    redis.call('ZREM', log, receipt)
  end
  if now >= number(state, 'day_ends') then
    redis.call('HSET', state, 'day_ends', text(next_reset(now)), 'day_requests', '0', 'day_tokens', '0')
  end
end

local function keep(log, state)
  redis.call('EXPIRE', log, KEPT_SECONDS)
  redis.call('EXPIRE', state, KEPT_SECONDS)
end

local function add(log, state, at, receipt, tokens)
  redis.call('ZADD', log, text(at), receipt)
  redis.call('HSET', state, 'of:' .. receipt, text(tokens))
  redis.call('HINCRBY', state, 'tokens', text(tokens))
end

local function free_at(log, state, count, tokens, limits)
  local free = math.max(number(state, 'hold_until'), number(state, 'parked_until'))
  if limits[1] and count >= limits[1] then
    local entry = redis.call('ZRANGE', log, count - limits[1], count - limits[1], 'WITHSCORES')
    free = math.max(free, tonumber(entry[2]) + window)
  end
  if limits[2] then
    local over = number(state, 'tokens') + math.min(tokens, limits[2]) - limits[2]
    if over > 0 then
      local entries = redis.call('ZRANGE', log, 0, -1, 'WITHSCORES')
      for i = 1, #entries, 2 do
        if over <= 0 then break end
        over = over - number(state, 'of:' .. entries[i])
        free = math.max(free, tonumber(entries[i + 1]) + window)
      end
    end
  end
  local full = limits[3] and number(state, 'day_requests') >= limits[3]
  if limits[4] then
    full = full or number(state, 'day_tokens') + math.min(tokens, limits[4]) > limits[4]
  end
  if full then free = math.max(free, number(state, 'day_ends')) end
  return free
end

local function take()
  local commit, receipt, tokens = ARGV[4] == '1', ARGV[5], tonumber(ARGV[6])
  local reply, best = {'0', text(now)}, nil
  for i = 1, #KEYS / 2 do
    local log, state = KEYS[2 * i - 1], KEYS[2 * i]
    forget(log, state)
    local limits = {}
    for n = 1, 4 do limits[n] = tonumber(ARGV[6 + 4 * (i - 1) + n]) or false end
    local count = redis.call('ZCARD', log)
    local free = free_at(log, state, count, tokens, limits)
    local used = {count, number(state, 'tokens'), number(state, 'day_requests'), number(state, 'day_tokens')}
    local share = 0
    for n = 1, 4 do
      reply[#reply + 1] = text(used[n])
      if limits[n] then share = math.max(share, used[n] / limits[n]) end
    end
    reply[#reply + 1] = text(math.max(0, free - now))
    reply[#reply + 1] = (free > now and free >= number(state, 'day_ends')) and '1' or '0'
    if free <= now then
      local load = {share, count, number(state, 'last'), i}
      for n = 1, 4 do
        if not best or load[n] < best[n] then best = load break end
        if load[n] > best[n] then break end
      end
    end
  end
  if best and commit then
    local log, state = KEYS[2 * best[4] - 1], KEYS[2 * best[4]]
    add(log, state, now, receipt, tokens)
    redis.call('HINCRBY', state, 'day_requests', '1')
    redis.call('HINCRBY', state, 'day_tokens', text(tokens))
    redis.call('HSET', state, 'last', text(now))
    keep(log, state)
    reply[1] = text(best[4])
  end
  return reply
end

local log, state = KEYS[1], KEYS[2]
if operation == 'take' then return take() end
forget(log, state)
if operation == 'settle' then
  local receipt, at, counted, tokens = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
  if next_reset(at) == number(state, 'day_ends') then
    redis.call('HINCRBY', state, 'day_tokens', text(tokens - counted))
  end
  if redis.call('HEXISTS', state, 'of:' .. receipt) == 1 then
    redis.call('HINCRBY', state, 'tokens', text(tokens - number(state, 'of:' .. receipt)))
    redis.call('HSET', state, 'of:' .. receipt, text(tokens))
  end
elseif operation == 'hold' then
  redis.call('HSET', state, 'hold_until', text(math.max(number(state, 'hold_until'), now + tonumber(ARGV[4]))))
elseif operation == 'park' then
  redis.call('HSET', state, 'parked_until', text(next_reset(now)))
elseif operation == 'charge' then
  for i = 4, #ARGV, 3 do
    local receipt, at, tokens = ARGV[i], now - tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
    if redis.call('HEXISTS', state, 'of:' .. receipt) == 0 then
      if next_reset(at) == number(state, 'day_ends') then
        redis.call('HINCRBY', state, 'day_requests', '1')
        redis.call('HINCRBY', state, 'day_tokens', text(tokens))
      end
      if at > now - window then add(log, state, at, receipt, tokens) end
    end
  end
end
keep(log, state)
return {'0', text(now)}
