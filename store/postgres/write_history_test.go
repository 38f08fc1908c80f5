package postgres_test

import (
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// A server that took over without the last commits may have counted to the version on which a write is
// decided. The write is decided again on what the server has, and loses none of it.
func TestStore_writesOnAnotherHistory(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(m incident.Manager, key incident.Key) error{
		"an edit": func(m incident.Manager, key incident.Key) error {
			return only(m.Edit(t.Context(), key, incident.Edit{Annotations: map[string]string{"runbook": "restart"}}))
		},
		"an assignment": func(m incident.Manager, key incident.Key) error {
			return only(m.Assign(t.Context(), key, incident.Assignment{Assignee: "ada"}))
		},
		"a link": func(m incident.Manager, key incident.Key) error {
			return only(m.LinkProject(t.Context(), key, "new"))
		},
		"a status": func(m incident.Manager, key incident.Key) error {
			return only(m.UpdateStatus(t.Context(), key, incident.StatusUpdate{Status: incident.StatusClosed}))
		},
		"a firing": func(m incident.Manager, _ incident.Key) error {
			f := firing
			f.TriggerID = "another"
			return only(m.Fire(t.Context(), f))
		},
	} {
		for _, how := range []string{"after a creation", "after a change", "after a read"} {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				_, url := newStore(t)
				pool := mustOpen(t, url, 4)
				m := mustManager(t, mustNew(t, pool, &postgres.Options{SingleProcess: true}))
				r, err := m.Fire(t.Context(), firing)
				mustDo(t, err)
				key := r.Key()
				switch how {
				case "after a change":
					mustDo(t, only(m.Edit(t.Context(), key, incident.Edit{Labels: map[string]string{"team": "core"}})))
				case "after a read":
					m = mustManager(t, mustNew(t, pool, &postgres.Options{SingleProcess: true}))
					mustDo(t, only(m.Get(t.Context(), key)))
				}
				pool.MustExec(`UPDATE incident SET title = 'Of this history', call_id = call_id / 2 + 1`)
				mustDo(t, write(m, key))
				if inc, err := m.Get(t.Context(), key); err != nil || inc.Title != "Of this history" {
					t.Errorf("after %s there is %+v, %v", name, inc, err)
				}
			})
		}
	}
}
