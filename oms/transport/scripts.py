"""Scripts: what Redis does in one step, so that no crash, cut or second engine comes between.

Each script of an engine begins with its fence: the journal it writes, and the sequence of its
START entry. A later engine of the same journal has a higher one, and from then on Redis refuses
the earlier one's reads, turns and answers. Where Redis has lost the fence it refuses everybody's,
until an engine claims the group: that may be a later one, so it first looks at its journal's lock.

Where memory is full Redis refuses a script's writes only until the script has written: HDEL, which
is never refused, comes first, so that what an engine says, and deletes, comes through. How much it
adds is bounded by itself, see docs/scale.md.
"""

import hashlib
from typing import NamedTuple

FENCED = "FENCED"  # a later engine has the group
NO_FENCE = "NOFENCE"  # Redis does not know that this one has it


class Script(NamedTuple):
    text: str
    digest: str


def script(text: str) -> Script:
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


# KEYS[1] fence; ARGV[1] journal, ARGV[2] the engine's number.
_NO_LATER = """
local held = redis.call('HMGET', KEYS[1], 'journal', 'number')
if held[1] and held[1] ~= ARGV[1] then
  return redis.error_reply('FENCED the group is of another journal, ' .. held[1])
end
if held[2] and tonumber(held[2]) > tonumber(ARGV[2]) then
  return redis.error_reply('FENCED a later engine serves the group, number ' .. held[2])
end
redis.call('HDEL', KEYS[1], '')
"""
_HELD = f"""{_NO_LATER}
if held[2] ~= ARGV[2] then
  return redis.error_reply('{NO_FENCE} the group is to be claimed anew')
end
"""

CLAIM = script(
    _NO_LATER
    + """
if held[2] ~= ARGV[2] then
  redis.call('HSET', KEYS[1], 'journal', ARGV[1], 'number', ARGV[2])
end
local made = redis.pcall('XGROUP', 'CREATE', KEYS[2], 'engine', '0', 'MKSTREAM')
if made.err and not string.find(made.err, 'BUSYGROUP') then return made end
return redis.status_reply('OK')
"""
)
"""Become the group's engine; whoever calls it has just looked at the lock of its journal. KEYS[2]
commands: their readers are made where there are none, from the stream's beginning, because what is
answered is deleted."""

READ = script(
    _HELD + "return redis.call('XREADGROUP', 'GROUP', 'engine', 'engine', 'COUNT', ARGV[4],"
    " 'STREAMS', KEYS[2], ARGV[3])"
)
"""KEYS[2] commands; ARGV[3] the id behind which, or >; ARGV[4] how many."""

PUBLISH = script(
    _HELD
    + """
local at = 3
local function taken() at = at + 1 return ARGV[at - 1] end
local turns_kept, replies_kept = taken(), taken()
redis.call('XTRIM', KEYS[2], 'MINID', '~', taken())
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
  redis.call('XADD', KEYS[4], 'MAXLEN', '~', 10000, '*', 'why', why, 'v', version,
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
and replies are kept, and the id of the first turn that is; turns: how many, then id and content;
replies: how many, then place in KEYS and content; dead ones: how many, then why, version and
content; then how many requests the entries have that are answered, and their ids."""

LATEST = script(_HELD + "return redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)")
"""KEYS[2] commands: its latest entry, as long as this engine has the group."""

NOTE = script(_HELD + "return redis.call('HSET', KEYS[1], 'tried', ARGV[3])")
"""ARGV[3] the request that is handled alone next."""

FAREWELL = script(_HELD + "return redis.call('DEL', KEYS[2])")
"""KEYS[2] alive."""

BEAT = script(_HELD + "return redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])")
"""KEYS[2] alive; ARGV[3] what it says, [4] for how many milliseconds."""

SEND = script("""
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
