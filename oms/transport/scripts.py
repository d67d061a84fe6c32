"""Scripts: what Redis does in one step, so that no crash, cut or second engine comes between.

Each script of an engine begins with its fence: the journal it writes, and the sequence of its
START entry. A later engine of the same journal has a higher one, and from then on Redis refuses
the earlier one's reads, turns and answers. A lost fence is put back by whoever comes next.
"""

import hashlib
from typing import NamedTuple

FENCED = "FENCED"


class Script(NamedTuple):
    text: str
    digest: str


def _script(text: str) -> Script:
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


# KEYS[1] fence; ARGV[1] journal, ARGV[2] the engine's number.
_HELD = """
local held = redis.call('HMGET', KEYS[1], 'journal', 'number')
if held[1] and held[1] ~= ARGV[1] then
  return redis.error_reply('FENCED the group is of another journal, ' .. held[1])
end
if held[2] and tonumber(held[2]) > tonumber(ARGV[2]) then
  return redis.error_reply('FENCED a later engine serves the group, number ' .. held[2])
end
if held[2] ~= ARGV[2] then
  redis.call('HSET', KEYS[1], 'journal', ARGV[1], 'number', ARGV[2])
end
"""

CLAIM = _script(_HELD + "return redis.status_reply('OK')")
"""Become the group's engine."""

READ = _script(
    _HELD + "return redis.call('XREADGROUP', 'GROUP', 'engine', 'engine', 'COUNT', ARGV[4],"
    " 'STREAMS', KEYS[2], ARGV[3])"
)
"""KEYS[2] commands; ARGV[3] the id behind which, or >; ARGV[4] how many."""

PUBLISH = _script(
    _HELD
    + """
local at = 3
local function taken() at = at + 1 return ARGV[at - 1] end
local turns_kept, replies_kept = taken(), taken()
for _ = 1, tonumber(taken()) do
  local id, content = taken(), taken()
  local added = redis.pcall('XADD', KEYS[2], 'MAXLEN', '~', turns_kept, id, 'v', '1', 'e', content)
  if type(added) == 'table' and added.err and not string.find(added.err, 'equal or smaller') then
    return added
  end
end
for _ = 1, tonumber(taken()) do
  local stream, content = taken(), taken()
  redis.call('XADD', KEYS[tonumber(stream)], 'NOMKSTREAM', 'MAXLEN', '~', replies_kept, '*',
    'v', '1', 'e', content)
end
for _ = 1, tonumber(taken()) do
  local why, version, content = taken(), taken(), taken()
  redis.call('XADD', KEYS[4], 'MAXLEN', '~', replies_kept, '*', 'why', why, 'v', version,
    'e', content)
end
local answered, entries, deleted = tonumber(taken()), 0, 0
while at <= #ARGV do
  local ids = {}
  while at <= #ARGV and #ids < 1000 do ids[#ids + 1] = taken() end
  redis.pcall('XACK', KEYS[3], 'engine', unpack(ids))
  entries, deleted = entries + #ids, deleted + redis.call('XDEL', KEYS[3], unpack(ids))
end
if deleted > 0 then
  redis.call('DECRBY', KEYS[5], math.floor(answered * deleted / entries))
end
return redis.status_reply('OK')
"""
)
"""KEYS[2] turns, [3] commands, [4] dead, [5] waiting, then streams of replies. ARGV: how many turns
and replies are kept; turns: how many, then id and content; replies: how many, then place in KEYS
and content; dead ones: how many, then why, version and content; then how many requests the entries
have that are answered, and their ids."""

BEAT = _script(_HELD + "return redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])")
"""KEYS[2] alive; ARGV[3] what it says, [4] for how many milliseconds."""

SEND = _script("""
local length, most, told = redis.call('XLEN', KEYS[1]), tonumber(ARGV[1]), {}
local waiting = tonumber(redis.call('GET', KEYS[2]) or 0)
if length == 0 then waiting = 0 end
if waiting < length then waiting = length end
for at = 2, #ARGV, 3 do
  local count, room = tonumber(ARGV[at]), most
  if ARGV[at + 1] == '1' then room = 2 * most end
  if waiting + count <= room then
    redis.call('XADD', KEYS[1], '*', 'v', '2', 'e', ARGV[at + 2])
    waiting = waiting + count
    told[#told + 1] = '1'
  elseif count > 1 then
    break
  else
    told[#told + 1] = '0'
  end
end
redis.call('SET', KEYS[2], waiting)
return table.concat(told)
""")
"""KEYS[1] commands, [2] waiting; ARGV[1] how many may wait, then for each entry: how many requests
it has, whether they are urgent, which may wait twice as many, and its content. Returns a 1 for each
that was added, a 0 for each that was not; stops before an entry of several that has no room. The
number that waits is put right where the stream's length says that it cannot be."""

# What follows is of front doors. KEYS[1]: a text that names these counts, since they were begun.
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

TAKE = _script(
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

SETTLE = _script(
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

BEGIN_ATTEMPT = _script(
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

FORGIVE = _script(
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

REMEMBER = _script(
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
