package system

// What the tests of this package look at from outside.
var (
	BatchTasks      = batchTasks
	CoordinateBatch = coordinateBatch
	DigestOf        = digestOf
	Milliseconds    = milliseconds
	ProcessChunk    = processChunk
	Taken           = taken
)

// CoordinateBatchArgs are the arguments of CoordinateBatch.
type CoordinateBatchArgs = coordinateBatchArgs

const (
	BatchReserve   = batchReserve
	HealthPatience = healthPatience
)
