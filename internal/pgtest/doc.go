// Package pgtest starts PostgreSQL servers for tests, and a proxy that counts round trips
// and loses replies.
//
// The server of a test binary is started by the first test that calls [NewDatabase] or
// [Shared]. TestMain stops it:
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
//
//	func TestStore(t *testing.T) {
//		url := pgtest.NewDatabase(t) // dropped at the end of the test
//	}
//
// [Start] and [StartOwn] start more servers, [NewProxy] a proxy, [NewPgBouncer] a pooler,
// and [Server.Standby] a standby.
//
// A test without a server fails and is never skipped. Two environment variables choose
// the server:
//
//   - INCIDENT_TEST_POSTGRES_URL names a running server to use instead. Its role must be
//     allowed to create databases.
//   - INCIDENT_TEST_POSTGRES_BIN names the folder of the programs to start.
//
// No process or folder of a server outlives the test binary by more than a few seconds,
// even after kill -9.
package pgtest
