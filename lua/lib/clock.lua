-- clock is Redis's own time in ms. It decides who is alive; it may go back.
local clock
do
  local t = redis.call('TIME')
  clock = t[1] * 1000 + math.floor(t[2] / 1000)
end
