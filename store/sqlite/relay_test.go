package sqlite_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/incidentkit/incident"
)

// recorder counts the deliveries by UUID.
type recorder struct {
	mu  sync.Mutex
	all map[string]int
}

func (r *recorder) Notify(_ context.Context, n incident.Notification) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n.Reminder != nil {
		r.all["reminder "+n.Reminder.Name]++
	} else {
		r.all[n.Activity.NotificationUUID.String()]++
	}
	return nil
}

func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.all)
}

// What was queued before a restart, a reminder included, is delivered after it: all of it, and
// once.
func TestRelay_restart(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	r := &recorder{all: map[string]int{}}
	begin := func() (m incident.Manager, end func()) {
		s := mustOpen(t, path, nil)
		m, err := incident.New(s, &incident.Options{Notifier: r})
		if err != nil {
			t.Fatal(err)
		}
		return m, func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	m, end := begin()
	const incidents = 20
	for range incidents {
		res, err := m.Create(t.Context(), disruption)
		if err == nil {
			_, err = m.Comment(t.Context(), res.Key(), incident.NewComment{Comment: "noted"})
		}
		if err == nil && res.Identifier == 1 {
			err = m.Remind(t.Context(), res.Key(), incident.Reminder{Name: "page", At: time.Now().Add(300 * time.Millisecond)})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	end()
	m, end = begin()
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() {
		if err := m.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	const want = 3*incidents + 1
	eventually(t, "not all notifications were delivered", func() bool { return r.count() >= want })
	cancel()
	run.Wait()
	end()
	for id, n := range r.all {
		if n != 1 {
			t.Errorf("%s was delivered %d times, want once", id, n)
		}
	}
	if r.count() != want {
		t.Errorf("%d notifications were delivered, want %d", r.count(), want)
	}
}
