package pgtest

import (
	"database/sql"
	"testing"
	"time"
)

// AwaitIdle waits until no connection of a pool is in use. A call that was abandoned leaves its
// connection within a second; a connection in use after 10 s was leaked, and fails the test.
func AwaitIdle(t *testing.T, pool interface{ Stats() sql.DBStats }) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); pool.Stats().InUse > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are still in use", pool.Stats().InUse)
		}
	}
}
