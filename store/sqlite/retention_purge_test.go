package sqlite_test

import (
	"errors"
	"testing"
	"time"

	"github.com/incidentkit/incident"
)

// An incident that changes between the search and the write is checked again: it is deleted only if
// it is still due, and held back if a notification was queued.
func TestStore_Purge_changedMeanwhile(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := mustOpen(t, path, nil)
	fill(t, s, "acme", 6) // 2, 3, 5 and 6 are closed
	m, err := incident.New(s, &incident.Options{Cache: incident.NoCache, Notifier: incident.NotifyElsewhere})
	if err != nil {
		t.Fatal(err)
	}
	key := func(n int64) incident.Key { return incident.Key{OrganizationID: "acme", Identifier: n} }
	q := incident.PurgeQuery{OrganizationID: "acme", ClosedBefore: time.Now().Add(time.Second), Limit: 10}
	b, err := s.PurgeAfter(t.Context(), q, func() {
		_, reopened := m.UpdateStatus(t.Context(), key(2), incident.StatusUpdate{Status: incident.StatusWarning})
		_, commented := m.Comment(t.Context(), key(3), incident.NewComment{Comment: "noted"})
		one := q
		one.Limit = 1
		held, other := s.Purge(t.Context(), one)
		one.After = held.Next
		deleted, another := s.Purge(t.Context(), one)
		if err := errors.Join(reopened, commented, other, another); err != nil || held.Held != 1 || len(deleted.Purged) != 1 {
			t.Errorf("the purge in between = %+v, %+v, %v; want incident 3 held back and 5 deleted", held, deleted, err)
		}
	})
	for err == nil && b.Next != nil { // the write was slow
		var rest incident.PurgeBatch
		q.After = b.Next
		rest, err = s.Purge(t.Context(), q)
		b.Purged, b.Held, b.Next = append(b.Purged, rest.Purged...), b.Held+rest.Held, rest.Next
	}
	if err != nil || len(b.Purged) != 1 || b.Purged[0].Key != key(6) || b.Held != 1 {
		t.Errorf("Purge() = %+v, %v; want incident 6 deleted and incident 3 held back", b, err)
	}
	for n, want := range map[int64]error{2: nil, 3: nil, 5: incident.ErrNotFound, 6: incident.ErrNotFound} {
		if _, err := load(s, n); !errors.Is(err, want) {
			t.Errorf("Load() of incident %d = %v, want %v", n, err, want)
		}
	}
	checkLists(t, path)
}

// A write ends after a short time, before it has deleted or erased all that it was asked for.
func TestStore_retention_shortWrites(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := mustOpen(t, path, nil)
	fill(t, s, "acme", 2)
	multiply(t, path, 1000)
	for name, call := range map[string]func() (int, error){
		"purge": func() (int, error) {
			b, err := s.Purge(t.Context(), incident.PurgeQuery{OrganizationID: "acme", ClosedBefore: time.Now().AddDate(1, 0, 0), Limit: 240})
			return len(b.Purged), err
		},
		"erase": func() (int, error) {
			b, err := s.EraseUser(t.Context(), incident.EraseQuery{OrganizationID: "acme", UserID: leaver, After: 700, Limit: 240})
			return len(b.Changed), err
		},
		"delete": func() (int, error) {
			b, err := s.DeleteOrganization(t.Context(), "acme", 240)
			return len(b.Deleted), err
		},
	} {
		if n, err := call(); err != nil || n == 0 || n >= 240 {
			t.Errorf("%s changed %d of 240 incidents in a write, %v; want some of them", name, n, err)
		}
	}
}
