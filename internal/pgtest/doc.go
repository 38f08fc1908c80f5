// Package pgtest gives tests a PostgreSQL server of their own, and a proxy before
// it that counts round trips and loses replies.
//
// The server of a test binary is started by the first test that asks for it, and
// stopped by TestMain:
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
//
//	url := pgtest.NewDatabase(t)
//
// A test without a server fails; it is never skipped. INCIDENT_TEST_POSTGRES_URL
// names a server to use instead, whose role must be allowed to create databases.
// INCIDENT_TEST_POSTGRES_BIN names the folder of the programs to start one with.
package pgtest
