package hostworld_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/managertest"
	"github.com/incidentkit/incident/store/postgres"
)

// Creations of several organizations that meet are written by one statement, and each is written
// once, whatever its title. Beside them a transaction creates, and contexts end.
func TestBatches(t *testing.T) {
	inEach(t, func(t *testing.T, w world) {
		s := w.stores(t)(t)
		m := mustManager(t, s)
		const callers, orgs = 24, 5
		var mu sync.Mutex // guards created
		created := map[incident.Key]string{}
		end := time.Now().Add(time.Minute)
		for round := 0; round < 3 || !hasBatch(t, s) && time.Now().Before(end); round++ {
			var all sync.WaitGroup
			for i := range callers {
				all.Go(func() {
					n := incident.NewIncident{
						OrganizationID: incident.OrganizationID(fmt.Sprint(`org "`, i%orgs)), UserID: `a,{"d}a\`,
						Title: fmt.Sprintf(`NULL {"%d", %d} \ 'ß'`, round, i), Projects: []incident.ProjectID{`NULL,"p`},
					}
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					create := func() (incident.Result, error) { return m.Create(ctx, n) }
					switch i % 8 {
					case 6:
						time.AfterFunc(time.Millisecond, cancel)
					case 7:
						create = func() (r incident.Result, err error) {
							err = m.InTx(ctx, func(tx incident.Manager) error {
								r, err = tx.Create(ctx, n)
								return err
							})
							return r, err
						}
					}
					r, err := create()
					switch {
					case err == nil:
						mu.Lock()
						defer mu.Unlock()
						created[r.Key()] = n.Title
					case i%8 == 7 && errors.Is(err, incident.ErrUnavailable): // a transaction may be disturbed
					case i%8 != 6 || !errors.Is(err, context.Canceled):
						t.Errorf("Create() by caller %d = %v", i, err)
					}
				})
			}
			all.Wait()
		}
		if !hasBatch(t, s) {
			t.Error("no batch was written")
		}
		for key, title := range created {
			if got, err := m.Get(t.Context(), key); err != nil || got.Title != title {
				t.Errorf("%s has the title %q, %v, want %q", key, got.Title, err, title)
			}
		}
		for i := range orgs {
			if err := managertest.Audit(t.Context(), m, s, incident.OrganizationID(fmt.Sprint(`org "`, i))); err != nil {
				t.Error(err)
			}
		}
	})
}

// hasBatch reports whether a transaction has written incidents of several organizations.
func hasBatch(t *testing.T, s *postgres.Store) (is bool) {
	t.Helper()
	err := s.Pool().Get(&is, "SELECT EXISTS (SELECT FROM "+s.Schema()+".incident GROUP BY changed HAVING count(DISTINCT organization_id) > 1)")
	if err != nil {
		t.Fatal(err)
	}
	return is
}
