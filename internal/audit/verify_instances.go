package audit

import (
	"context"
	"slices"

	"github.com/claudebench/claudebench/internal/fold"
)

// The order of the values in the reply of read_instances.
const (
	instanceID = iota
	instanceRoles
	instanceStatus
	instanceLastSeen
	instanceLastHeartbeat
	instanceRegisteredAt
	instanceMetadata
	instanceSession
	instanceMaxTasks
	instanceWorker
	instanceSeq
	instanceGrace
	indexAlive
	indexWorkers
	indexRoles
	indexAvailable
	indexStealable
	lengthAssigned
	lengthActive
	lengthAuto

	instanceFields = indexAlive
)

// instances compares the hash and the index entries of every instance that the log knows, including
// those that have left.
func (v *verifier) instances(ctx context.Context) error {
	lots := slices.Collect(slices.Chunk(slices.Collect(v.fold.Instances()), instanceLot))
	args := make([][]any, len(lots))
	for i, lot := range lots {
		for _, instance := range lot {
			args[i] = append(args[i], instance.ID)
		}
	}
	return v.lots(ctx, readInstances, args, func(i int, reply []any) error {
		for n, instance := range lots[i] {
			v.report.Instances++
			stored, _ := reply[n].([]any)
			// Look the instance up again, because the fold may have passed a flush since.
			i := v.fold.Instance(instance.ID)
			if i == nil {
				i = &fold.Instance{ID: instance.ID}
			}
			v.instance(i, stored)
		}
		return nil
	})
}

func (v *verifier) instance(i *fold.Instance, stored []any) {
	object := "instance " + i.ID
	there := slices.ContainsFunc(stored[:instanceFields], func(field any) bool { return field != nil })
	get := func(field int) string { return text(stored[field]) }
	if i.Partial() {
		return
	}
	if !i.Registered {
		if there {
			v.report.violation("%s: the log says that it has left, but its hash exists", object)
		}
		for index, key := range map[int]string{
			indexAlive: v.keys.Alive(), indexWorkers: v.keys.Workers(), indexRoles: v.keys.Roles(),
			indexAvailable: v.keys.Available(), indexStealable: v.keys.Stealable(),
		} {
			if stored[index] != nil {
				v.report.violation("%s: the log says that it has left, but it is in %s", object, key)
			}
		}
	} else {
		v.indexes(i, object, stored, there)
		// Without heartbeats the hash expires some time before the monitor notices.
		if there {
			v.instanceHash(i, object, get)
		}
	}
	for _, q := range []struct {
		length int
		key    string
		log    int64
	}{
		{lengthAssigned, v.keys.Assigned(i.ID), i.Assigned()},
		{lengthActive, v.keys.Active(i.ID), i.Active()},
		{lengthAuto, v.keys.Auto(i.ID), i.Auto()},
	} {
		v.length(q.key, stored[q.length], q.log)
	}
}

// length compares how many entries a queue has.
func (v *verifier) length(key string, stored any, log int64) {
	if n, _ := number(stored); n != log && v.fold.Whole() {
		v.report.violation("queue %s has length %d, but the log says %d", key, n, log)
	}
}

func (v *verifier) instanceHash(i *fold.Instance, object string, get func(int) string) {
	worker := "0"
	if i.Worker {
		worker = "1"
	}
	v.differs(object, "id", i.ID, get(instanceID))
	v.differs(object, "roles", i.Roles, get(instanceRoles))
	v.differs(object, "status", i.Status, get(instanceStatus))
	v.differs(object, "registeredAt", fold.ISO(i.RegisteredAt), get(instanceRegisteredAt))
	v.differs(object, "metadata", i.Metadata, get(instanceMetadata))
	v.differs(object, "sessionId", i.Session, get(instanceSession))
	v.differs(object, "maxTasks", decimal(i.MaxTasks), get(instanceMaxTasks))
	v.differs(object, "worker", worker, get(instanceWorker))
	// Heartbeats have no events, but the two places that they write must agree.
	if seen, ok := number(get(instanceLastSeen)); ok {
		v.differs(object, "lastHeartbeat", fold.ISO(seen), get(instanceLastHeartbeat))
	} else {
		v.report.violation("%s: lastSeen is %s, which is not a time in ms", object, fold.Shown(get(instanceLastSeen)))
	}
	// A script that gives tasks to several instances writes the seq of one of its events to each,
	// which is not always the last event about that instance.
	if seq, ok := number(get(instanceSeq)); !ok || seq < i.Seq || seq > v.fold.Seq() {
		v.report.violation("%s: seq is %s, but the last event about it has seq %d, and the log is at %d", object, fold.Shown(get(instanceSeq)), i.Seq, v.fold.Seq())
	}
}

// indexes compares a registered instance's index entries.
func (v *verifier) indexes(i *fold.Instance, object string, stored []any, hash bool) {
	v.differs(object, v.keys.Roles(), i.Roles, text(stored[indexRoles]))
	if stored[indexAlive] == nil {
		v.report.violation("%s: it is not in %s, but the log says that it is registered", object, v.keys.Alive())
	}
	if worker := stored[indexWorkers] != nil; worker != i.Worker {
		v.report.violation("%s: in %s it is %s, but the log says %s", object, v.keys.Workers(), fold.Present(worker), fold.Present(i.Worker))
	}
	v.differs(object, "score in "+v.keys.Stealable(), decimalSet(i.Auto()), wholeText(stored[indexStealable]))
	if !hash {
		return // without a hash it gets no tasks, and its room is not updated
	}
	for _, index := range []struct {
		key   string
		entry any
	}{{v.keys.Alive(), stored[indexAlive]}, {v.keys.Workers(), stored[indexWorkers]}} {
		seen, _ := number(text(stored[instanceLastSeen])) // verified above
		grace, _ := number(text(stored[instanceGrace]))   // none in hashes of earlier versions
		// A heartbeat through a coordinator of an earlier version writes no grace.
		if alive, entry := decimal(seen+grace), wholeText(index.entry); index.entry != nil && entry != alive && entry != decimal(seen) {
			v.report.violation("%s: its score in %s is %s, but its hash says %s", object, index.key, entry, alive)
		}
	}
	room := ""
	if i.Worker && i.Holds() < i.MaxTasks {
		room = decimal(i.Holds())
	}
	v.differs(object, "score in "+v.keys.Available(), room, wholeText(stored[indexAvailable]))
}

// wholeText returns a score as an integer, "" if there is none.
func wholeText(value any) string {
	n, ok := number(value)
	if !ok {
		return ""
	}
	return decimal(n)
}
