package system

// These are the names that the external tests of this package use.
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
