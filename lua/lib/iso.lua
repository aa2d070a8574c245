-- iso returns a time in ms since 1970 as ISO 8601 in UTC. The calendar algorithm comes from
-- https://howardhinnant.github.io/date_algorithms.html#civil_from_days
local function iso(ms)
  local floor = math.floor
  local s = floor(ms / 1000)
  local days = floor(s / 86400)
  local rest = s - days * 86400
  local z = days + 719468
  local era = floor(z / 146097)
  local doe = z - era * 146097
  local yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524) - floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + floor(yoe / 4) - floor(yoe / 100))
  local mp = floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03dZ',
    yoe + era * 400 + (month <= 2 and 1 or 0), month, doy - floor((153 * mp + 2) / 5) + 1,
    floor(rest / 3600), floor(rest % 3600 / 60), rest % 60, ms - s * 1000)
end
