// Package testenv provides real Redis and Postgres servers for tests.
//
// The tests of all packages use it. They begin with
//
//	func TestMain(m *testing.M) { testenv.Main(m) }
//
// A test binary has one Redis and one Postgres. The first test that needs a server starts it in a
// temporary folder and on a free port, so no server has to run on the machine. Tests use them in
// parallel, each in its own namespace ([Namespace]) and database ([Postgres]). A test that stops,
// kills or restarts a server starts its own ([OwnRedis], [OwnPostgres]).
//
// [Self], [Launch] and [Screen] run the test binary itself as a program that can be killed.
//
// [AtEnd] ends another program that the tests of a package share.
//
// A test whose server is missing or does not start fails. No test is skipped. The servers end with
// the test binary, even if it panics or times out.
package testenv
