package postgres_test

import (
	"errors"
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
)

// checkLostReply loses each request and reply of a write, one at a time.
func checkLostReply(t *testing.T, l *lossy, w write, cuts []pgtest.Cut) (met int) {
	t.Helper()
	before, after := traces(t, w)
	for _, f := range []pgtest.Fault{pgtest.LoseReply, pgtest.LoseRequest} {
		for _, cut := range cuts {
			for n, lost := 1, 1; lost > 0; n++ {
				var err error
				lost, err = l.lose(t, w, f, cut, n, 1)
				t.Logf("fault %d, cut %d, round trip %d: %v", f, cut, n, err)
				checkTrace(t, trace(t, l.past), before, after, err)
				l.checkOutbox(t)
				if errors.Is(err, incident.ErrUnknownOutcome) && w.name != "InTx" {
					t.Errorf("round trip %d lost: %v, want the outcome", n, err)
				}
				met += lost
			}
		}
	}
	return met
}
