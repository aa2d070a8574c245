package system

// What the tests of this package look at from outside.
var (
	BatchTasks   = batchTasks
	DigestOf     = digestOf
	Milliseconds = milliseconds
	ProcessChunk = processChunk
	Taken        = taken
)

const (
	BatchReserve   = batchReserve
	HealthPatience = healthPatience
)
