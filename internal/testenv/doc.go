// Package testenv gives tests their real Redis and Postgres.
//
// Every package's tests use it, and begin with
//
//	func TestMain(m *testing.M) { testenv.Main(m) }
//
// A test binary has one Redis and one Postgres, started by the first test that asks for them, in a
// temporary folder, on free ports: nothing has to run on the machine. Tests run in parallel on
// them, each in a namespace ([Namespace]) and a database ([Postgres]) of its own. A test that
// stops, kills or restarts a server takes one for itself ([OwnRedis], [OwnPostgres]).
//
// [Self], [Launch] and [Screen] run the test binary itself as a program that can be killed.
//
// A test whose server is missing or does not start fails; none is skipped. The servers end with the
// test binary, also when it panics or runs out of time.
package testenv
