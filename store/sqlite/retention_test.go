package sqlite_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/sqlite"
)

// changesSince returns the changes after a position, and fails on a Reset.
func changesSince(t *testing.T, s *sqlite.Store, since incident.FeedPosition) incident.FeedChanges {
	t.Helper()
	c, err := s.Changes(t.Context(), since)
	if err != nil || c.Reset {
		t.Fatalf("Changes() = %+v, %v, want changes", c, err)
	}
	return c
}

// The feed reports deleted incidents with the versions that the calls returned. Once deletion
// records were removed, it resets the positions before them, and no others.
func TestStore_Changes_deleted(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := mustOpen(t, path, nil)
	fill(t, s, "acme", 3)
	start := changesSince(t, s, "").Position
	first, _, err := purgeAll(t.Context(), s, "acme")
	if err != nil {
		t.Fatal(err)
	}
	c := changesSince(t, s, start)
	if !slices.Equal(c.Incidents, first) {
		t.Errorf("Changes() has %v, want the purged %v", c.Incidents, first)
	}
	between := c.Position
	fill(t, s, "other", 2)
	second, _, err := purgeAll(t.Context(), s, "other")
	if err != nil {
		t.Fatal(err)
	}
	end := changesSince(t, s, between).Position
	aged := len(first)
	mustHostPool(t, path, "").MustExec(`UPDATE incident_deleted SET date_deleted = date_deleted - ? WHERE organization_id = 'acme'`, (11 * time.Minute).Microseconds())
	if _, _, err := purgeAll(t.Context(), s, "nobody"); err != nil { // finds nothing to purge
		t.Fatal(err)
	}
	if n := count(t, path, "SELECT count(*) FROM incident_deleted"); n != len(second) {
		t.Errorf("%d deletion records remain of %d old and %d young, want the young", n, aged, len(second))
	}
	if c, err := s.Changes(t.Context(), start); err != nil || !c.Reset || c.Incidents != nil {
		t.Errorf("Changes() before removed records = %+v, %v, want a Reset", c, err)
	}
	c = changesSince(t, s, between)
	for _, iv := range second {
		if !slices.Contains(c.Incidents, iv) {
			t.Errorf("Changes() after removed records lacks %v", iv)
		}
	}
	changesSince(t, s, end)
}

// DeleteOrganization resets the positions before its end, and only if it deletes something.
func TestStore_DeleteOrganization_reset(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, newPath(t), nil)
	fill(t, s, "acme", 2)
	fill(t, s, "other", 2)
	if _, _, err := purgeAll(t.Context(), s, "other"); err != nil {
		t.Fatal(err)
	}
	before := changesSince(t, s, "").Position
	if deleted, err := deleteAll(t.Context(), s, "nobody"); err != nil || len(deleted) != 0 {
		t.Fatalf("DeleteOrganization() of nothing = %v, %v", deleted, err)
	}
	changesSince(t, s, before)
	if _, err := deleteAll(t.Context(), s, "acme"); err != nil {
		t.Fatal(err)
	}
	if c, err := s.Changes(t.Context(), before); err != nil || !c.Reset {
		t.Errorf("Changes() before the end of DeleteOrganization = %+v, %v, want a Reset", c, err)
	}
	after := changesSince(t, s, "").Position
	if _, err := deleteAll(t.Context(), s, "acme"); err != nil {
		t.Fatal(err)
	}
	if c := changesSince(t, s, after); c.Position != after {
		t.Errorf("a repeated DeleteOrganization moved the position from %s to %s", after, c.Position)
	}
}

// An organization with many slots is deleted in several writes, which others see. Nothing is Done
// before the last.
func TestStore_DeleteOrganization_manySlots(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := mustOpen(t, path, nil)
	fill(t, s, "acme", 2)
	mustHostPool(t, path, "").MustExec(`
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1700)
		INSERT INTO incident_slot SELECT 'acme', 'rule', 'p' || i, '', 1, 0, 1, 0 FROM n`)
	looker := mustHostPool(t, path, "")
	seen := []int{1700} // at first, and before each commit
	s.BeforeCommits(func() {
		var left int
		if err := looker.Get(&left, "SELECT count(*) FROM incident_slot WHERE alert_rule_id = 'rule'"); err != nil {
			t.Error(err)
		}
		seen = append(seen, left)
	})
	for calls := 1; ; calls++ {
		b, err := s.DeleteOrganization(t.Context(), "acme", 100)
		if err != nil {
			t.Fatal(err)
		}
		if left := count(t, path, "SELECT count(*) FROM incident_slot"); b.Done != (left == 0) {
			t.Fatalf("after %d calls Done is %t, and %d slots are left", calls, b.Done, left)
		}
		if b.Done {
			break
		}
	}
	seen = append(seen, 0)
	for i, left := range seen[1:] {
		if seen[i]-left > 500 {
			t.Errorf("of 1700 slots %v were left before the commits, want at most 500 less each time", seen)
		}
	}
}

// The first deletion excludes libraries that do not look for deletion records.
func TestStore_Purge_serves(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := mustOpen(t, path, nil)
	fill(t, s, "acme", 2)
	if _, err := eraseAll(t.Context(), s, "acme", ""); err != nil {
		t.Fatal(err)
	}
	if n := count(t, path, "SELECT serves FROM incident_schema"); n != 1 {
		t.Errorf("before a deletion serves is %d, want 1", n)
	}
	if _, _, err := purgeAll(t.Context(), s, "acme"); err != nil {
		t.Fatal(err)
	}
	if n := count(t, path, "SELECT serves FROM incident_schema"); n != 2 {
		t.Errorf("after a deletion serves is %d, want 2", n)
	}
}

// In a transaction, only Organizations is answered.
func TestStore_InTx_retention(t *testing.T) {
	t.Parallel()
	h := newHost(t, "_txlock=immediate")
	if _, err := h.Create(t.Context(), disruption); err != nil {
		t.Fatal(err)
	}
	check := func(ctx context.Context, tx incident.RetentionStore) {
		_, purge := tx.Purge(ctx, incident.PurgeQuery{OrganizationID: "acme", ClosedBefore: time.Now(), Limit: 1})
		_, erase := tx.EraseUser(ctx, incident.EraseQuery{OrganizationID: "acme", UserID: leaver, Limit: 1})
		_, del := tx.DeleteOrganization(ctx, "acme", 1)
		_, lease := tx.Lease(ctx, "purge", "a", time.Minute)
		for _, err := range []error{purge, erase, del, lease} {
			wantError(t, "a call in a transaction", err, "outside the transaction", incident.ErrInvalid)
			if _, ok := errors.AsType[*incident.FieldError](err); !ok {
				t.Errorf("a call in a transaction returned %v, want a FieldError", err)
			}
		}
		if orgs, err := tx.Organizations(ctx, "", 10); err != nil || !slices.Equal(orgs, []incident.OrganizationID{"acme"}) {
			t.Errorf("Organizations() in a transaction = %v, %v", orgs, err)
		}
	}
	err := h.store.InTx(t.Context(), func(tx incident.Store) error {
		check(t.Context(), tx.(*sqlite.Store))
		return nil
	})
	if err != nil {
		t.Errorf("InTx() = %v, want nil", err)
	}
	hostTx := h.pool.MustBegin()
	check(t.Context(), h.store.Join(hostTx))
	if err := hostTx.Commit(); err != nil {
		t.Error(err)
	}
}

// Organizations lists the organizations with incidents, page by page, and no other.
func TestStore_Organizations(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, newPath(t), nil)
	m, err := incident.New(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []incident.OrganizationID{"A", "a", "a b", "ab", "z", "é", "\U0001F600"}
	for _, org := range append(want, "gone") {
		for range 2 {
			if _, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: org, Title: "x"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := deleteAll(t.Context(), s, "gone"); err != nil {
		t.Fatal(err)
	}
	for limit := 1; limit <= len(want)+1; limit++ {
		var all []incident.OrganizationID
		for after := incident.OrganizationID(""); ; after = all[len(all)-1] {
			page, err := s.Organizations(t.Context(), after, limit)
			if err != nil || len(page) > limit {
				t.Fatalf("Organizations(%q, %d) = %v, %v", after, limit, page, err)
			}
			if all = append(all, page...); len(page) < limit {
				break
			}
		}
		if !slices.Equal(all, want) {
			t.Errorf("in pages of %d, Organizations() = %q, want %q", limit, all, want)
		}
	}
}

// A lease excludes the holders of other stores until it ends, or its holder ends it.
func TestStore_Lease(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	a, b := mustOpen(t, path, nil), mustOpen(t, path, nil)
	lease := func(s *sqlite.Store, holder string, d time.Duration) time.Duration {
		t.Helper()
		l, err := s.Lease(t.Context(), "purge", holder, d)
		if err != nil {
			t.Fatal(err)
		}
		if off := time.Since(l.Now); off.Abs() > time.Minute {
			t.Errorf("the clock of Lease() is %v off", off)
		}
		return l.Wait
	}
	if wait := lease(a, "a", time.Hour); wait != 0 {
		t.Errorf("the first holder waits for %v, want 0", wait)
	}
	if wait := lease(b, "b", time.Hour); wait <= 59*time.Minute || wait > time.Hour {
		t.Errorf("the second holder waits for %v, want about an hour", wait)
	}
	if wait := lease(b, "a", time.Hour); wait != 0 {
		t.Errorf("the same holder in another process waits for %v, want 0", wait)
	}
	lease(a, "a", 0)
	if wait := lease(b, "b", time.Millisecond); wait != 0 {
		t.Errorf("after the end of the lease the second holder waits for %v, want 0", wait)
	}
	eventually(t, "the first holder waits although the lease has expired", func() bool { return lease(a, "a", time.Hour) == 0 })
}
