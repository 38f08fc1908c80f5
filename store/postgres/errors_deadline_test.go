package postgres

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/incidentkit/incident"
)

// atDeadline is a context whose deadline has come, and whose timer has not rung.
type atDeadline struct{ context.Context }

func (atDeadline) Deadline() (time.Time, bool) { return time.Now(), true }

// A connection may report the deadline of a call before the context does. The call fails because of the
// deadline then, not because of the server.
func TestErrors_deadline(t *testing.T) {
	t.Parallel()
	s, ctx := &Store{database: &database{}}, atDeadline{t.Context()}
	lost := newCall("apply")
	lost.distrust()
	for name, err := range map[string]error{
		"a read":                     s.translate(ctx, "load", os.ErrDeadlineExceeded),
		"a write":                    s.callError(ctx, newCall("apply"), os.ErrDeadlineExceeded),
		"a write of unknown outcome": s.callError(ctx, lost, os.ErrDeadlineExceeded),
	} {
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, incident.ErrUnavailable) {
			t.Errorf("the error of %s is %v, want that of the deadline", name, err)
		}
	}
	if again := new(repeats).again(ctx, s, errAgain); again {
		t.Error("a call is repeated after its deadline")
	}
}
