"""Counting: what front doors count together in Redis: allowances, attempts that failed, and what
is taken once.

Each script does its count in one step, so that two front doors never count past each other.
"""

from oms.transport.scripts import script

# KEYS[1] of all: a text that names these counts, since they were begun.
# ARGV[1]: the name that the caller knows, [2] one for counts that are begun now, [3] the wall clock
# in microseconds. Where the names differ nothing is done: the caller is told the name alone, and
# writes what it knows before it asks again.
_COUNTS = """
local now = tonumber(ARGV[3])
local since = redis.call('GET', KEYS[1])
if not since then
  since = ARGV[2]
  redis.call('SET', KEYS[1], since, 'PX', 86400000)
end
"""
_KNOWN = _COUNTS + "if since ~= ARGV[1] then return {since} end\n"

# A bucket is kept as tokens, when they were counted, and the one front door that used it since it
# was full, or * for several. Times of two machines differ a little, so none goes back; one that is
# a second ahead was wrong.
_BUCKET = (
    _KNOWN
    + """
local client = ARGV[4]
local function found(key, rate, burst)
  local tokens, at, who = math.huge, now, client  -- of a full one nothing is kept
  local kept = redis.call('GET', key)
  if kept then
    local left, counted, by = string.match(kept, '^(%S+) (%S+) (%S+)$')
    tokens, at, who = tonumber(left), tonumber(counted), by
  end
  if at > now + 1000000 then at = now end
  tokens = tokens + math.max(0, now - at) * rate / 1000000
  if tokens >= burst then who = client elseif who ~= client then who = '*' end
  return tokens, math.max(at, now), who
end
local function keep(key, rate, burst, tokens, at, who)
  local life = math.ceil((burst - tokens) * 1000 / rate) + 60000
  redis.call('SET', key, string.format('%.3f %.0f %s', tokens, at, who), 'PX', life)
end
local function told(tokens, who) return who == '*' and string.format('%.3f', tokens) or '' end
"""
)

TAKE = script(
    _BUCKET
    + """
local key, rate, burst, count = KEYS[2], tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local tokens, at, who = found(key, rate, burst)
tokens = math.min(tokens, burst)
if who == '*' and tokens < count then return {since, told(tokens - count, who)} end
tokens = tokens - count
keep(key, rate, burst, tokens, at, who)
return {since, told(tokens, who)}
"""
)
"""KEYS[2] a bucket; ARGV[4] the front door, [5] rate, [6] burst, [7] how many tokens. Returns the
name of the counts, and what is left: below 0 and nothing taken, or empty if no other uses it."""

SETTLE = script(
    _BUCKET
    + """
redis.call('PEXPIRE', KEYS[1], 86400000)
local answer, late = {since}, tonumber(ARGV[5])
for at_key = 2, #KEYS do
  local place = at_key * 3
  local rate, burst = tonumber(ARGV[place]), tonumber(ARGV[place + 1])
  local tokens, at, who = found(KEYS[at_key], rate, burst)
  tokens = math.min(tokens, burst + rate * late / 1000000) - tonumber(ARGV[place + 2])
  tokens = math.min(tokens, burst)
  keep(KEYS[at_key], rate, burst, tokens, at, who)
  answer[at_key] = told(tokens, who)
end
return answer
"""
)
"""KEYS from [2] buckets; ARGV[4] the front door, [5] how many microseconds ago the tokens may have
been taken; then of each bucket rate, burst, and how many were. Returns as TAKE, of each bucket."""

# Attempts that failed: how often, until when nobody may try again, when the last was; milliseconds.
# KEYS[2] these by name, [3] names by the time of the last; ARGV[4]: how many names are kept.
_ATTEMPTS = """
now = math.floor(now / 1000)
local function read(name)
  local kept = redis.call('HGET', KEYS[2], name)
  if not kept then return 0, 0, 0 end
  local count, ends, last = string.match(kept, '^(%S+) (%S+) (%S+)$')
  if now - tonumber(last) > 3600000 then return 0, 0, 0 end
  return tonumber(count), math.min(tonumber(ends), now + 900000), tonumber(last)
end
local function write(name, count, ends, last)
  redis.call('HSET', KEYS[2], name, string.format('%.0f %.0f %.0f', count, ends, last))
  redis.call('ZADD', KEYS[3], string.format('%.0f', last), name)
  if redis.call('ZCARD', KEYS[3]) > tonumber(ARGV[4]) then
    redis.call('HDEL', KEYS[2], redis.call('ZPOPMIN', KEYS[3])[1])
  end
  redis.call('PEXPIRE', KEYS[2], 3600000)
  redis.call('PEXPIRE', KEYS[3], 3600000)
end
"""

BEGIN_ATTEMPT = script(
    _KNOWN
    + _ATTEMPTS
    + """
local counts, ends, wait = {}, {}, 0
for each = 1, 2 do
  counts[each], ends[each] = read(ARGV[3 + 2 * each])
  wait = math.max(wait, ends[each] - now)
end
for each = 1, 2 do
  if wait <= 0 then
    counts[each] = counts[each] + 1
    local over = counts[each] - tonumber(ARGV[4 + 2 * each])
    if over >= 0 then ends[each] = now + math.min(900, 2 ^ math.min(over, 16)) * 1000 end
  end
  write(ARGV[3 + 2 * each], counts[each], ends[each], now)
end
return {since, wait, counts[1], ends[1] - now, counts[2], ends[2] - now}
"""
)
"""ARGV[5] a name, [6] how often it may fail before it has to wait, [7] and [8] the same of an
address. Returns the name of the counts, how long to wait, and of both how often and how long from
now on; milliseconds."""

FORGIVE = script(
    _KNOWN
    + _ATTEMPTS
    + """
redis.call('HDEL', KEYS[2], ARGV[5])
redis.call('ZREM', KEYS[3], ARGV[5])
local count, ends, last = read(ARGV[6])
if count > 0 then
  count = count - 1
  if count < tonumber(ARGV[7]) then ends = 0 end
  write(ARGV[6], count, ends, last)
end
return {since}
"""
)
"""An attempt did not fail. ARGV[5] the name that is forgotten, [6] an address of which one counts
no more, [7] how often that may fail."""

REMEMBER = script(
    _COUNTS
    + _ATTEMPTS
    + """
for place = 5, #ARGV, 4 do
  local count, ends, last = read(ARGV[place])
  local function later(one, by) return math.max(one, now + tonumber(ARGV[place + by])) end
  write(ARGV[place], math.max(count, tonumber(ARGV[place + 1])), later(ends, 2), later(last, 3))
end
return {since}
"""
)
"""What a front door knows of attempts, where another one may not. ARGV from [5]: a name, how often
it failed, how long from now it has to wait, and how long from now the last one was (below 0);
milliseconds. Returns the name of the counts."""

# KEYS[1] what is remembered: its name, since when, by which run of the server: another one may have
# lost what the one before knew. ARGV[1] a name for one that begins now, [2] the wall clock. Whose
# clock is a second behind the beginning shows that this was said by one that is wrong.
_TAKEN = """
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local memory, since, by = string.match(redis.call('GET', KEYS[1]) or '', '^(%S+) (%S+) (%S+)$')
if by ~= run or tonumber(ARGV[2]) < tonumber(since) - 1000 then
  if by ~= run then memory = ARGV[1] end
  since = ARGV[2]
  redis.call('SET', KEYS[1], memory .. ' ' .. since .. ' ' .. run)
end
"""

MEMORY = script(_TAKEN + "return memory")
"""Returns its name."""

TAKE_NAME = script(
    _TAKEN
    + """
if ARGV[3] ~= '' and ARGV[3] ~= memory then return -1 end
if ARGV[3] == '' and tonumber(ARGV[4]) < tonumber(since) + tonumber(ARGV[5]) then return -1 end
if redis.call('SET', KEYS[2], '', 'NX', 'PX', ARGV[6]) then return 1 end
return 0
"""
)
"""KEYS[2] what is taken; ARGV[3] what was remembered when it was made, or nothing, and then [4]
when that was, [5] how much later than the memory it has to be; [6] how long it is kept;
milliseconds.
Returns 1, 0 where it was taken before, -1 where that is not known."""
