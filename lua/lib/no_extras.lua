-- no_extras are the members of the task object of a task without extras (lib/extras).
local no_extras = ',"failures":0,"losses":0,"runAt":null,"errors":[]'
