// Package waiting keeps calls of task.claim open until there is a task for them.
//
// While calls wait, the scripts that make a task claimable add a wake-up to a stream in Redis, if
// the task is for workers like those that wait (lua/lib/wakeups.lua). Each coordinator with waiting
// calls follows this stream on one connection. For each wake-up it chooses one call, the one that has
// waited longest among those whose worker may take the task, and that call attempts to claim. So a
// task causes one attempt in each coordinator, however many calls wait.
//
// No wake-up is lost. A call enters the Hub before its first attempt, and the script of the attempt
// stores the worker's roles, so a task that is created after the attempt finds the call there. A
// connection that breaks loses nothing, because the stream is read on from the last wake-up. A call
// that got a wake-up and then did not claim the task that the wake-up announced passes it on: because
// it claimed another task, failed, was given up, or because its worker's roles changed. When wake-ups
// may be missing, because Redis was away or has lost its latest writes, or because this coordinator
// was stopped for a while, the Hub lets one call of each set of roles attempt to claim. It does so
// once a second as well while events are written, because coordinators of earlier versions write no
// wake-ups.
//
// Once a second, the Hub renews the registrations of the workers whose calls wait, many in one
// script. This and the reading of the stream are all that waiting calls cost Redis while nothing
// happens.
package waiting
