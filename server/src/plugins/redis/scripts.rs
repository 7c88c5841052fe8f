//! What Redis does at one stroke.
//!
//! An account is a hash under one key, so that it comes and goes as a whole:
//!
//! | field | is |
//! |---|---|
//! | `e` | the epoch in which the rest was written |
//! | `g` | the version, a random number; nobody puts a value with another one |
//! | `v` | the value, if there is one |
//! | `m` and a number | a change under way; while there is one nothing is kept |
//!
//! The first line makes each of them a writing script: a server that has become a replica refuses it.

/// `epoch known proposed lifetime`. Gives 1 (`Same`), or a list: nothing (`Changing`), a version (`Absent`), a version
/// and a value.
pub const LOOK: &str = "#!lua
local key = KEYS[1]
local e, g, v = unpack(redis.call('HMGET', key, 'e', 'g', 'v'))
local own = (e and 1 or 0) + (g and 1 or 0) + (v and 1 or 0)
if redis.call('HLEN', key) > own then return {} end
if not g or e ~= ARGV[1] then
  redis.call('DEL', key)
  redis.call('HSET', key, 'e', ARGV[1], 'g', ARGV[3])
  redis.call('PEXPIRE', key, ARGV[4])
  return {ARGV[3]}
end
if g == ARGV[2] then return 1 end
if v then return {g, v} end
return {g}
";

/// `epoch version lifetime [value]`. Gives 1 if it is kept.
pub const PUT: &str = "#!lua
local key = KEYS[1]
local e, g = unpack(redis.call('HMGET', key, 'e', 'g'))
if e ~= ARGV[1] or g ~= ARGV[2] then return 0 end
if redis.call('HLEN', key) > 2 + redis.call('HEXISTS', key, 'v') then return 0 end
if ARGV[4] then redis.call('HSET', key, 'v', ARGV[4]) end
redis.call('PEXPIRE', key, ARGV[3])
return 1
";

/// `change lifetime`. Where memory is full too: it takes less than what it forgets.
pub const BEGIN: &str = "#!lua flags=allow-oom
local key = KEYS[1]
redis.call('HDEL', key, 'e', 'g', 'v')
redis.call('HSET', key, 'm' .. ARGV[1], 1)
redis.call('PEXPIRE', key, ARGV[2])
return 1
";

/// `change`.
pub const END: &str = "#!lua flags=allow-oom
redis.call('HDEL', KEYS[1], 'e', 'g', 'v', 'm' .. ARGV[1])
return 1
";

/// `attempt within share`, over the keys of what one failed, of its share, and of the group's shares. Each is a hash of
/// counts by eighths of the time, by this server's own clock. Gives the three counts.
pub const FAILURES: &str = "#!lua
local one, share, group = KEYS[1], KEYS[2], KEYS[3]
local within, most = tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local step = math.floor((time[1] * 1000 + math.floor(time[2] / 1000)) / math.max(1, within / 8))
local function count(key)
  local sum, steps = 0, redis.call('HGETALL', key)
  for i = 1, #steps, 2 do
    local age = step - tonumber(steps[i])
    if age < 8 and age > -8 then sum = sum + tonumber(steps[i + 1])
    else redis.call('HDEL', key, steps[i]) end
  end
  return sum
end
local function add(key)
  redis.call('HINCRBY', key, step, 1)
  redis.call('PEXPIRE', key, within)
end
if ARGV[1] == 'failed' then
  add(one)
  if count(share) < most then add(share) add(group) end
elseif ARGV[1] == 'succeeded' then
  local left = count(share)
  redis.call('DEL', one, share)
  for back = 0, 7 do
    local there = tonumber(redis.call('HGET', group, step - back) or 0)
    local taken = math.min(there, left)
    if taken > 0 then
      redis.call('HINCRBY', group, step - back, -taken)
      left = left - taken
    end
  end
end
return {count(one), count(share), count(group)}
";
