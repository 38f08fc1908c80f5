package postgres_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

func mustChanges(t *testing.T, s *postgres.Store, since incident.FeedPosition) incident.FeedChanges {
	t.Helper()
	c, err := s.Changes(t.Context(), since)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A position from before a deletion whose record was removed is a Reset, and no other position,
// even while a transaction lasts that began before.
func TestStore_feedResetsBehindForgottenDeletions(t *testing.T) {
	s, _ := newStore(t)
	ctx := t.Context()
	keys := closedBy(t, s, "a rule", "another rule")
	host := s.Pool().MustBegin()
	defer host.Rollback()
	host.MustExec("SELECT pg_current_xact_id()")
	old := mustChanges(t, s, "").Position
	if b, err := s.Purge(ctx, everythingDue()); err != nil || len(b.Purged) != 2 {
		t.Fatalf("Purge = %+v, %v", b, err)
	}
	purged := mustChanges(t, s, old)
	if len(purged.Incidents) != 2 || purged.Reset || purged.Incidents[0].Key != keys[0] {
		t.Errorf("after the deletion the changes are %+v, want two incidents", purged)
	}
	forget := func() {
		t.Helper()
		s.Pool().MustExec("UPDATE incident_deleted SET date_deleted = now() - interval '1 hour'")
		if _, err := s.Purge(ctx, everythingDue()); err != nil {
			t.Fatal(err)
		}
	}
	if forget(); mustChanges(t, s, old).Reset {
		t.Error("a record was removed although a transaction from before lasts: its positions would be a Reset")
	}
	if err := host.Commit(); err != nil {
		t.Fatal(err)
	}
	current := mustChanges(t, s, old).Position
	mustWait(t, func() (bool, error) { // a transaction of the server itself may last from before
		forget()
		return mustChanges(t, s, old).Reset, nil
	})
	if c := mustChanges(t, s, current); c.Reset || len(c.Incidents) > 0 {
		t.Errorf("the changes since a later position are %+v, want none", c)
	}
}

// The deletion of an organization is a Reset for the positions from before, and for no other, even
// while a transaction lasts that began before.
func TestStore_feedResetsBehindDeletedOrganizations(t *testing.T) {
	s, _ := newStore(t)
	closedBy(t, s, "a rule")
	host := s.Pool().MustBegin()
	defer host.Rollback()
	host.MustExec("SELECT pg_current_xact_id()")
	old := mustChanges(t, s, "").Position
	for done := false; !done; {
		b, err := s.DeleteOrganization(t.Context(), "acme", 100)
		if err != nil {
			t.Fatal(err)
		}
		done = b.Done
	}
	if !mustChanges(t, s, old).Reset {
		t.Error("a position from before the deletion is not a Reset")
	}
	current := mustChanges(t, s, "").Position
	if b, err := s.DeleteOrganization(t.Context(), "acme", 100); err != nil || !b.Done {
		t.Fatalf("the second DeleteOrganization = %+v, %v", b, err)
	}
	if mustChanges(t, s, current).Reset {
		t.Error("a position from after the deletion is a Reset")
	}
}

// The first deletion refuses libraries that do not read the records of deletions.
func TestStore_firstDeletionRefusesEarlierLibraries(t *testing.T) {
	s, _ := newStore(t)
	serves := func() (n int) {
		t.Helper()
		if err := s.Pool().Get(&n, "SELECT serves FROM incident_schema"); err != nil {
			t.Fatal(err)
		}
		return n
	}
	closedBy(t, s, "a rule")
	q := everythingDue()
	q.OrganizationID = "umbrella"
	if _, err := s.Purge(t.Context(), q); err != nil || serves() != 1 {
		t.Errorf("after a purge of nothing the tables serve version %d, want 1; %v", serves(), err)
	}
	if _, err := s.Purge(t.Context(), everythingDue()); err != nil || serves() != 4 {
		t.Errorf("after a deletion the tables serve version %d, want 4; %v", serves(), err)
	}
}

// textsWith counts the rows with a text in any column, by table and column. A UUID is no text.
func textsWith(t *testing.T, s *postgres.Store, text string) map[string]int {
	t.Helper()
	var columns []struct {
		Table  string `db:"table_name"`
		Column string `db:"column_name"`
	}
	err := s.Pool().Select(&columns, `SELECT table_name, column_name FROM information_schema.columns
		WHERE table_schema = $1 AND data_type <> 'uuid'`, s.Schema())
	if err != nil || len(columns) < 50 {
		t.Fatalf("there are %d columns, %v", len(columns), err)
	}
	found := map[string]int{}
	for _, c := range columns {
		n := 0
		if err := s.Pool().Get(&n, fmt.Sprintf("SELECT count(*) FROM %s.%s WHERE strpos(%s::text, $1) > 0", s.Schema(), c.Table, c.Column), text); err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			found[c.Table+"."+c.Column] = n
		}
	}
	return found
}

// No column has the ID of a user who was erased, nor, except the counter, that of an organization
// that was deleted.
func TestStore_erasesAllTexts(t *testing.T) {
	s, _ := newStore(t)
	ctx := t.Context()
	m := mustManager(t, s)
	key := mustBegin(t, m)
	const user = "user-5de3b1"
	_, err := m.Acknowledge(ctx, key, incident.Acknowledgement{UserID: user})
	if err == nil {
		_, err = m.Assign(ctx, key, incident.Assignment{UserID: user, Assignee: user})
	}
	if err == nil {
		_, err = m.Comment(ctx, key, incident.NewComment{UserID: user, Comment: "Mine"})
	}
	if err == nil {
		_, err = m.MarkSeen(ctx, key, user)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.Pool().MustExec("UPDATE incident_outbox SET error = 'no device of " + user + "'")
	s.Pool().MustExec("UPDATE incident_queue SET error = 'no device of " + user + "'")
	s.Pool().MustExec("INSERT INTO incident_seen VALUES ('acme', 1000, '" + user + "', now())") // left behind a deletion
	want := []string{
		"incident.optional", "incident_activity.new_text", "incident_activity.user_id", "incident_outbox.error",
		"incident_queue.error", "incident_seen.user_id", "incident_subscription.user_id",
	}
	if found := slices.Sorted(maps.Keys(textsWith(t, s, user))); !slices.Equal(found, want) {
		t.Fatalf("the user is in %v, want %v", found, want)
	}
	q := incident.EraseQuery{OrganizationID: "acme", UserID: user, As: "eve", Limit: 10}
	b, err := s.EraseUser(ctx, q)
	if err != nil || len(b.Changed) != 1 || b.Next != 0 {
		t.Errorf("EraseUser = %+v, %v", b, err)
	}
	if found := textsWith(t, s, user); len(found) > 0 {
		t.Errorf("after EraseUser the user is in %v", found)
	}
	checkLists(t, m, "acme")
	if b, err = s.EraseUser(ctx, q); err != nil || len(b.Changed) > 0 {
		t.Errorf("the second EraseUser = %+v, %v, want no change", b, err)
	}
	for done := false; !done; {
		b, err := s.DeleteOrganization(ctx, "acme", 100)
		if err != nil {
			t.Fatal(err)
		}
		done = b.Done
	}
	if found := textsWith(t, s, "acme"); len(found) != 1 || found["incident_organization.organization_id"] != 1 {
		t.Errorf("after DeleteOrganization the organization is in %v, want the counter", found)
	}
	if r, err := m.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Again"}); err != nil || r.Identifier != 2 {
		t.Errorf("the next incident is %v, %v, want acme#2", r.Key(), err)
	}
}

// A lease ends by the clock of the server.
func TestStore_leaseEnds(t *testing.T) {
	s, _ := newStore(t)
	ctx := t.Context()
	if l, err := s.Lease(ctx, "retention", "a", 100*time.Millisecond); err != nil || l.Wait != 0 {
		t.Fatalf("Lease = %+v, %v", l, err)
	}
	l, err := s.Lease(ctx, "retention", "b", time.Hour)
	if err != nil || l.Wait > 100*time.Millisecond {
		t.Fatalf("Lease of another holder = %+v, %v", l, err)
	}
	mustWait(t, func() (bool, error) { // the clock may be set back meanwhile
		if l.Wait > 0 {
			time.Sleep(l.Wait)
			l, err = s.Lease(ctx, "retention", "b", time.Hour)
		}
		return l.Wait == 0, err
	})
	if l, err = s.Lease(ctx, "retention", "a", time.Hour); err != nil || l.Wait < 50*time.Minute {
		t.Errorf("Lease during the lease of another = %+v, %v", l, err)
	}
	if !strings.HasSuffix(l.Now.String(), "UTC") {
		t.Errorf("the time is %v, want UTC", l.Now)
	}
}
