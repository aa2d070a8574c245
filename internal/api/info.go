package api

// InfoParams are the params of system.info: none.
type InfoParams struct{}

// InfoResult is the result of system.info.
type InfoResult struct {
	Version        string     `json:"version" jsonschema:"of the coordinator that replies"`
	Namespace      string     `json:"namespace" jsonschema:"empty for the default namespace"`
	Authentication bool       `json:"authentication" jsonschema:"whether callers need a token"`
	Caller         InfoCaller `json:"caller"`
	// Coordinators is 0 if Redis does not reply.
	Coordinators int64      `json:"coordinators" jsonschema:"coordinators of this namespace that were alive within the last four seconds; 0 if Redis does not reply"`
	TraceURL     string     `json:"traceUrl,omitempty" jsonschema:"--trace-url: the address of a trace, with {trace} in the place of its id, which is the second part of an event's trace"`
	Stores       InfoStores `json:"stores"`
}

// InfoCaller is what the coordinator knows about the caller.
type InfoCaller struct {
	Name           string   `json:"name,omitempty" jsonschema:"of the token"`
	Roles          []string `json:"roles" jsonschema:"all roles if authentication is disabled"`
	InstancePrefix string   `json:"instancePrefix,omitempty" jsonschema:"the token may use only instances whose ids begin with it"`
}

// InfoStores describes the stores. Postgres is left out if none is configured.
type InfoStores struct {
	Redis    RedisInfo     `json:"redis"`
	Postgres *PostgresInfo `json:"postgres,omitempty"`
}

// RedisInfo describes Redis as it was at most five seconds ago.
type RedisInfo struct {
	Status      string           `json:"status" jsonschema:"ok, or unavailable with the cause if it is known"`
	Product     string           `json:"product" jsonschema:"Redis, Valkey, or in-memory for the one that up uses without either"`
	Version     string           `json:"version" jsonschema:"like all settings: unknown if Redis does not tell it"`
	Mode        string           `json:"mode" jsonschema:"standalone, cluster or sentinel"`
	Role        string           `json:"role" jsonschema:"master or slave"`
	MemoryUsed  *int64           `json:"memoryUsed,omitempty" jsonschema:"in bytes"`
	MaxMemory   *int64           `json:"maxMemory,omitempty" jsonschema:"in bytes; 0 is no limit"`
	Policy      string           `json:"policy" jsonschema:"maxmemory-policy; any other than noeviction can lose data"`
	Persistence RedisPersistence `json:"persistence"`
	Warnings    []string         `json:"warnings" jsonschema:"settings that can lose data, a sentence each, with what to do"`
}

// RedisPersistence says how Redis keeps its data.
type RedisPersistence struct {
	AOF               string `json:"aof" jsonschema:"on or off: the append-only file"`
	Fsync             string `json:"fsync" jsonschema:"appendfsync: always, everysec or no"`
	LastAOFWrite      string `json:"lastAofWrite" jsonschema:"ok or err"`
	LastSnapshotWrite string `json:"lastSnapshotWrite" jsonschema:"ok or err"`
}

// PostgresInfo describes Postgres as it was at most five seconds ago.
type PostgresInfo struct {
	Status            string   `json:"status" jsonschema:"ok, not migrated yet, or unavailable with the cause if it is known"`
	Version           string   `json:"version" jsonschema:"like all settings: unknown if Postgres does not reply"`
	Fsync             string   `json:"fsync"`
	SynchronousCommit string   `json:"synchronousCommit"`
	FullPageWrites    string   `json:"fullPageWrites"`
	Warnings          []string `json:"warnings" jsonschema:"settings that can lose or stop the task view, a sentence each, with what to do"`
}

// Statuses of a store. StoreUnavailable is followed by the cause, if it is known.
const (
	StoreOK          = "ok"
	StoreUnavailable = "unavailable"
	StoreNotMigrated = "not migrated yet"
)

// Unknown is the value of a setting that a store does not tell.
const Unknown = "unknown"
