package postgres_test

import (
	"testing"

	"github.com/incidentkit/incident"
)

// A creation of another layout does not hold up the batch behind it.
func TestStore_batchBehindAnotherLayout(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	quiet := mustManager(t, s)
	loud, err := incident.New(s, &incident.Options{Notifiers: map[string]incident.NamedNotifier{"mail": {Notifier: incident.NotifyElsewhere}}})
	mustDo(t, err)
	orgs := manyOrgs(10)
	mustExist(t, quiet, orgs...)
	waiting, release := s.HoldLanes()
	defer release()
	errs := make(chan error, len(orgs))
	for i, n := range downIn(1, orgs...) {
		m := []incident.Manager{quiet, loud}[min(i, 1)]
		go func() { errs <- only(m.Create(t.Context(), n)) }()
		eventually(t, "the creation waits", func() bool { return waiting() == i+1 })
	}
	s.FreeBatch(1)
	defer s.FreeBatch(-1)
	for range orgs {
		mustDo(t, receive(t, errs))
	}
}
