package pgtest

import (
	"database/sql"
	"testing"
	"time"
)

// AwaitIdle waits until no connection of a pool is in use. A call that was abandoned leaves its
// connection within a second, or later on a busy machine; a connection in use after a minute was
// leaked, and fails the test.
func AwaitIdle(t *testing.T, pool interface{ Stats() sql.DBStats }) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); pool.Stats().InUse > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are still in use", pool.Stats().InUse)
		}
	}
}
