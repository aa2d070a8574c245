-- clock is the time of Redis in ms. It decides which instances are alive. It can go backwards.
local clock
do
  local t = redis.call('TIME')
  clock = t[1] * 1000 + math.floor(t[2] / 1000)
end
