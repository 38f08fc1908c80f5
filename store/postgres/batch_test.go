package postgres_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/managertest"
	"github.com/incidentkit/incident/store/postgres"
)

const generous = 30 * time.Second

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(generous); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, generous)
		}
	}
}

// together has the creations wait for each other, so that they go in batches, and returns their
// results.
func together(t *testing.T, s *postgres.Store, m incident.Manager, all ...incident.NewIncident) ([]incident.Result, []error) {
	t.Helper()
	results, errs := make([]incident.Result, len(all)), make([]error, len(all))
	var group sync.WaitGroup
	waiting, release := s.HoldLanes()
	for i, n := range all {
		group.Go(func() { results[i], errs[i] = m.Create(t.Context(), n) })
	}
	eventually(t, "the creations wait", func() bool { return waiting() == len(all) })
	release()
	group.Wait()
	return results, errs
}

// mustBatch creates incidents in batches, n times with each of the Managers.
func mustBatch(t *testing.T, s *postgres.Store, n int, managers ...incident.Manager) {
	t.Helper()
	for i := range n {
		for _, m := range managers {
			_, errs := together(t, s, m, downIn(2, manyOrgs(4+i%5)...)...)
			wantNone(t, errs)
		}
	}
}

// downIn returns n creations for each of the organizations.
func downIn(n int, orgs ...incident.OrganizationID) (all []incident.NewIncident) {
	for i := range n {
		for _, org := range orgs {
			all = append(all, incident.NewIncident{OrganizationID: org, Title: fmt.Sprint("Down ", i), Projects: []incident.ProjectID{"api"}})
		}
	}
	return all
}

func manyOrgs(n int) (orgs []incident.OrganizationID) {
	for i := range n {
		orgs = append(orgs, incident.OrganizationID(fmt.Sprint("org-", i)))
	}
	return orgs
}

// mustExist makes the rows of the organizations, with an incident each.
func mustExist(t *testing.T, m incident.Manager, orgs ...incident.OrganizationID) {
	t.Helper()
	for _, org := range orgs {
		if _, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: org, Title: "First"}); err != nil {
			t.Fatal(err)
		}
	}
}

// checkOrgs checks that an organization has exactly the incidents 1 to n, whole.
func checkOrgs(t *testing.T, s *postgres.Store, m incident.Manager, n int, orgs ...incident.OrganizationID) {
	t.Helper()
	for _, org := range orgs {
		page, err := m.List(context.Background(), incident.IncidentFilter{OrganizationID: org, Limit: incident.MaxPageSize})
		seen := map[int64]bool{}
		for _, inc := range page.Incidents {
			seen[inc.Identifier] = true
		}
		for id := range int64(n) {
			if !seen[id+1] {
				t.Errorf("%s has no incident %d", org, id+1)
			}
		}
		if err != nil || len(page.Incidents) != n {
			t.Errorf("%s has %d incidents, %v, want %d", org, len(page.Incidents), err, n)
		}
	}
	if err := managertest.Audit(context.Background(), m, s, orgs...); err != nil {
		t.Error(err)
	}
	checkActive(t, s, 0)
}

// transactions returns the number of transactions that wrote incidents.
func transactions(t *testing.T, s *postgres.Store) (n int) {
	t.Helper()
	mustDo(t, s.Pool().Get(&n, "SELECT count(DISTINCT changed) FROM incident"))
	return n
}

func wantNone(t *testing.T, errs []error) {
	t.Helper()
	for i, err := range errs {
		if err != nil {
			t.Errorf("creation %d = %v", i, err)
		}
	}
}

// inFewTransactions makes rounds of creations until one takes at most that many transactions, and
// returns the number of rounds. The members of a batch that is slow go alone, but not five times in turn.
func inFewTransactions(t *testing.T, s *postgres.Store, most int, round func()) (rounds int) {
	t.Helper()
	var n int
	for rounds = 1; rounds <= 5; rounds++ {
		before := transactions(t, s)
		round()
		if n = transactions(t, s) - before; n <= most || t.Failed() {
			return rounds
		}
	}
	t.Fatalf("%d transactions, want at most %d: the batches were not written", n, most)
	return rounds
}

// Creations of several organizations share statements, and get identifiers without gaps.
func TestStore_batchOfManyOrganizations(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	m := mustManager(t, s)
	orgs := manyOrgs(8)
	mustExist(t, m, orgs...)
	seen := map[incident.Key]bool{}
	rounds := inFewTransactions(t, s, 4, func() {
		results, errs := together(t, s, m, downIn(5, orgs...)...)
		wantNone(t, errs)
		for _, r := range results {
			if seen[r.Key()] || !r.Changed {
				t.Errorf("%s was created twice, or by nobody", r.Key())
			}
			seen[r.Key()] = true
			got, err := m.Get(t.Context(), r.Key())
			if err != nil || got.Title != r.Title {
				t.Errorf("%s has the title %q, %v, want %q", r.Key(), got.Title, err, r.Title)
			}
		}
	})
	checkOrgs(t, s, m, 1+5*rounds, orgs...)
}

// New organizations have no row to lock, and are written all the same.
func TestStore_batchOfNewOrganizations(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	m := mustManager(t, s)
	orgs := manyOrgs(6)
	mustExist(t, m, orgs[:3]...)
	_, errs := together(t, s, m, downIn(3, orgs...)...)
	wantNone(t, errs)
	checkOrgs(t, s, m, 4, orgs[:3]...)
	checkOrgs(t, s, m, 3, orgs[3:]...)
}

// A batch writes exactly the rows that its creations would write alone.
func TestStore_batchWritesTheSame(t *testing.T) {
	t.Parallel()
	created := incident.NamedNotifier{Notifier: incident.NotifyElsewhere, Notify: incident.NotifyOptions{
		Types: []incident.ActivityType{incident.ActivityTypeCreated},
	}}
	all := incident.NamedNotifier{Notifier: incident.NotifyElsewhere}
	for name, o := range map[string]incident.Options{
		"no notifier": {},
		"a notifier":  {Notifier: incident.NotifyElsewhere},
		"named":       {Notifiers: map[string]incident.NamedNotifier{"mail": created, "pager": all}},
		"some":        {Notifier: incident.NotifyElsewhere, Notify: created.Notify, Notifiers: map[string]incident.NamedNotifier{"pager": all}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := newStore(t)
			o.Now = clock
			m, err := incident.New(s, &o)
			if err != nil {
				t.Fatal(err)
			}
			orgs := manyOrgs(4)
			mustExist(t, m, orgs...)
			var both []incident.NewIncident
			for _, org := range orgs {
				both = append(both, incident.NewIncident{
					OrganizationID: org, Title: `Down, "Straße" {é} \ NULL`, Projects: []incident.ProjectID{"api"}, UserID: "ada",
				}, incident.NewIncident{OrganizationID: org, Title: "NULL", Projects: []incident.ProjectID{`a,"}`}})
			}
			for _, n := range both {
				if _, err := m.Create(t.Context(), n); err != nil {
					t.Fatal(err)
				}
			}
			rounds := inFewTransactions(t, s, 4, func() {
				_, errs := together(t, s, m, both...)
				wantNone(t, errs)
			})
			last := 1 + 2 + 2*rounds
			for _, table := range []string{"incident", "incident_project", "incident_activity", "incident_subscription", "incident_outbox", "incident_queue"} {
				alone, batched := batchRows(t, s, table, 2, 3), batchRows(t, s, table, last-1, last)
				if alone != batched {
					t.Errorf("%s has the rows\n%s\nof creations alone, and\n%s\nof a batch", table, alone, batched)
				}
			}
			checkOrgs(t, s, m, last, orgs...)
		})
	}
}

// batchRows returns the rows of the incidents from first to last, without what differs between
// incidents.
func batchRows(t *testing.T, s *postgres.Store, table string, first, last int) string {
	t.Helper()
	var rows []string
	mustDo(t, s.Pool().Select(&rows, `
SELECT (to_jsonb(r) - '{identifier,call_id,changed,notification_uuid,due,since}'::text[])::text
FROM `+table+` r WHERE identifier BETWEEN $1 AND $2 ORDER BY 1`, first, last))
	text, err := json.MarshalIndent(rows, "", " ")
	mustDo(t, err)
	return string(text)
}

// lockOrg locks an organization until release, as the transaction of a host does.
func lockOrg(t *testing.T, s *postgres.Store, org incident.OrganizationID) (release func()) {
	t.Helper()
	tx, err := s.Pool().Beginx()
	mustDo(t, err)
	tx.MustExec("SELECT FROM incident_organization WHERE organization_id = $1 FOR UPDATE", org)
	return sync.OnceFunc(func() { _ = tx.Rollback() })
}

// A transaction of a host that holds an organization holds up no other, and gets further
// organizations although a batch has members of the first.
func TestStore_batchSkipsLockedOrganization(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	m := mustManager(t, s)
	orgs := manyOrgs(8)
	mustExist(t, m, orgs...)
	rounds := inFewTransactions(t, s, 10, func() { createBesideHost(t, s, m, orgs) })
	checkOrgs(t, s, m, 1+4*rounds, orgs...)
}

// createBesideHost makes three creations in each of the organizations, while a transaction of a host
// creates an incident in the first, and then in the others.
func createBesideHost(t *testing.T, s *postgres.Store, m incident.Manager, orgs []incident.OrganizationID) {
	t.Helper()
	tx, err := s.Pool().Beginx()
	mustDo(t, err)
	defer func() { _ = tx.Rollback() }()
	joined, done, err := m.Join(s.Join(tx))
	mustDo(t, err)
	mustExist(t, joined, orgs[0])
	locked, free := make(chan error, 100), make(chan error, 100)
	waiting, release := s.HoldLanes()
	all := downIn(3, orgs...)
	for _, n := range all {
		go func() {
			_, err := m.Create(t.Context(), n)
			if n.OrganizationID == orgs[0] {
				locked <- err
			} else {
				free <- err
			}
		}()
	}
	eventually(t, "the creations wait", func() bool { return waiting() == len(all) })
	release()
	for range len(all) - 3 {
		if err := receive(t, free); err != nil {
			t.Error(err)
		}
	}
	mustExist(t, joined, orgs[1:]...)
	mustDo(t, tx.Commit())
	done()
	for range 3 {
		if err := receive(t, locked); err != nil {
			t.Error(err)
		}
	}
}

func receive[T any](t *testing.T, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(generous):
		t.Fatalf("nothing within %v", generous)
	}
	return v
}
