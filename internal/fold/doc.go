// Package fold folds the log in memory: what the events say about tasks, instances, queues, schedules,
// limits and pauses. `claudebench verify` compares stored data with it, and every other reader that
// wants to know how a fleet stood at some event uses the same fold.
//
// A Fold depends on nothing but the events, and it does not read them: its caller applies them one
// after the other. It reports each event that is not lawful after those before it.
//
// Read a fold through its methods. They are valid for the position of the last event that was applied,
// and what they return must not be changed, nor kept while further events are applied.
package fold
