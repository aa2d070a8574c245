-- What a script writes once its commands are done. The commands of a lot would else write the same again and again:
-- where the log stands, the counters of a rate limit, places in a queue. Functions in this list run at the end in its
-- order, also after a command that failed.
local closing = {}
