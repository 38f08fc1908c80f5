package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident"
)

// Organizations returns the organizations in ascending order, byte for byte.
func organizationsAreInOrder(t *trial, s incident.RetentionStore) {
	var want []incident.OrganizationID
	for _, name := range names() {
		org := incident.OrganizationID(name)
		want = append(want, org)
		mustCreate(t, s, draft(org))
	}
	mustCreate(t, s, draft(want[0]))
	slices.Sort(want)
	wantEqual(t, "the organizations", mustOrganizations(t, s, "", everything), want)
	for i, after := range want {
		wantEqual(t, fmt.Sprintf("the organizations after %+q", after), mustOrganizations(t, s, after, everything), want[i+1:])
		between := after + "\x01"
		if i+1 < len(want) && between < want[i+1] {
			wantEqual(t, fmt.Sprintf("the organizations after %+q", between), mustOrganizations(t, s, between, everything), want[i+1:])
		}
	}
}

// Organizations returns at most limit organizations. Pages have each organization once.
func organizationsAreLimited(t *trial, s incident.RetentionStore) {
	var want []incident.OrganizationID
	for i := range 10 {
		want = append(want, nthOrganization(i))
		mustCreate(t, s, draft(nthOrganization(i)))
	}
	for _, limit := range []int{1, 3, 10, 11} {
		var got []incident.OrganizationID
		for after := incident.OrganizationID(""); ; {
			page := mustOrganizations(t, s, after, limit)
			if len(page) > limit || len(got) > len(want) {
				t.Fatalf("Organizations(%q, %d) returns %d organizations after %d", after, limit, len(page), len(got))
			}
			got = append(got, page...)
			if len(page) < limit {
				break
			}
			after = page[len(page)-1]
		}
		wantEqual(t, fmt.Sprintf("the organizations in pages of %d", limit), got, want)
	}
	scribble(mustOrganizations(t, s, "", everything))
	wantEqual(t, "the organizations, after the caller overwrote a page", mustOrganizations(t, s, "", everything), want)
}

// An organization is listed while it has an incident, closed or not.
func organizationsHaveIncidents(t *trial, s incident.RetentionStore) {
	list := func(want ...incident.OrganizationID) {
		t.Helper()
		wantEqual(t, "the organizations", mustOrganizations(t, s, "", everything), want)
	}
	list()
	mustClosed(t, s, acme, t0, minute(9))
	_, err := s.Apply(t.Context(), comment(incident.Key{OrganizationID: "nobody", Identifier: 1}, "text"))
	wantError(t, "Apply() of an unknown incident", err, incident.ErrNotFound)
	mustClosed(t, s, umbrella, t0, minute(9))
	list(acme, umbrella)
	mustPurgeAll(t, s, anyDue(acme))
	list(umbrella)
	mustCreate(t, s, draft(acme))
	list(acme, umbrella)
	mustDeleteOrganization(t, s, umbrella, everything)
	list(acme)
	mustCreate(t, s, draft(umbrella))
	list(acme, umbrella)
}

// In a transaction, Organizations sees the transaction's own writes. They are undone with it.
func organizationsFollowTransactions(t *trial, s incident.RetentionStore) {
	mustCreate(t, s, draft(acme))
	err := s.InTx(t.Context(), func(tx incident.Store) error {
		mustCreate(t, tx, draft(umbrella))
		within, ok := tx.(incident.RetentionStore)
		if !ok {
			t.Errorf("the store of InTx() is a %T, want a RetentionStore, for Organizations", tx)
			return errUndo
		}
		wantEqual(t, "the organizations in a transaction", mustOrganizations(t, within, "", everything), []incident.OrganizationID{acme, umbrella})
		return errUndo
	})
	wantError(t, "InTx()", err, errUndo)
	wantEqual(t, "the organizations after the transaction was undone", mustOrganizations(t, s, "", everything), []incident.OrganizationID{acme})
}

func organizationsObeyTheContext(t *trial, s incident.RetentionStore) {
	mustCreate(t, s, draft(acme))
	wantDoneContext(t, s, "Organizations()", func(ctx context.Context) error {
		_, err := s.Organizations(ctx, "", everything)
		return err
	})
}

func mustLease(t *trial, s incident.RetentionStore, task, holder string, d time.Duration) incident.TaskLease {
	t.Helper()
	l, err := s.Lease(t.Context(), task, holder, d)
	if err != nil {
		t.Fatalf("Lease(%q, %q, %v) = %v, want no error", task, holder, d, err)
	}
	if l.Wait < 0 || l.Now.IsZero() || l.Now.Location() != time.UTC {
		t.Fatalf("Lease(%q, %q, %v) = %+v, want no negative Wait, and Now in UTC", task, holder, d, l)
	}
	return l
}

func wantLeased(t *trial, s incident.RetentionStore, task, holder string, d time.Duration) {
	t.Helper()
	if l := mustLease(t, s, task, holder, d); l.Wait != 0 {
		t.Errorf("Lease(%q, %q, %v) has to wait for %v, want the right", task, holder, d, l.Wait)
	}
}

// wantWait checks that a holder has to wait, for at most a time.
func wantWait(t *trial, s incident.RetentionStore, task, holder string, most time.Duration) {
	t.Helper()
	if l := mustLease(t, s, task, holder, longLease); l.Wait <= 0 || l.Wait > most+rounding {
		t.Errorf("Lease(%q, %q) has to wait for %v, want between 0 and %v", task, holder, l.Wait, most)
	}
}

// mustBecomeHolder repeats Lease until the holder gets the right.
func mustBecomeHolder(t *trial, s incident.RetentionStore, task, holder string, d time.Duration) {
	t.Helper()
	for start := time.Now(); mustLease(t, s, task, holder, d).Wait > 0; time.Sleep(2 * time.Millisecond) {
		if time.Since(start) > t.patience {
			t.Fatalf("Lease(%q, %q) still has to wait, want the right", task, holder)
		}
	}
}

// While a holder has the right, nobody else gets it, and asking for it changes nothing.
func leaseExcludesOthers(t *trial, s incident.RetentionStore) {
	wantLeased(t, s, "purge", "first", longLease)
	for range 2 {
		wantWait(t, s, "purge", "second", longLease)
		wantWait(t, s, "purge", "third", longLease)
		wantLeased(t, s, "purge", "first", longLease)
	}
}

// The right ends after its duration. It then goes to another holder, and the first has to wait.
func leaseEnds(t *trial, s incident.RetentionStore) {
	wantLeased(t, s, "purge", "first", shortLease)
	mustBecomeHolder(t, s, "purge", "second", longLease)
	wantWait(t, s, "purge", "first", longLease)
}

// The holder prolongs the right from the time of the call.
func leaseIsProlonged(t *trial, s incident.RetentionStore) {
	wantLeased(t, s, "purge", "first", shortLease)
	wantLeased(t, s, "purge", "first", longLease)
	time.Sleep(2 * shortLease)
	wantWait(t, s, "purge", "second", longLease)
}

// The holder shortens the right from the time of the call.
func leaseIsShortened(t *trial, s incident.RetentionStore) {
	wantLeased(t, s, "purge", "first", longLease)
	wantLeased(t, s, "purge", "first", shortLease)
	mustBecomeHolder(t, s, "purge", "second", longLease)
}

// The right to do a task does not concern other tasks.
func leaseIsOfATask(t *trial, s incident.RetentionStore) {
	wantLeased(t, s, "purge", "first", longLease)
	wantLeased(t, s, "count", "second", longLease)
	wantLeased(t, s, "Purge", "third", longLease)
	wantWait(t, s, "purge", "second", longLease)
	wantWait(t, s, "count", "first", longLease)
}

// Tasks and holders are compared byte for byte.
func leaseComparesNames(t *trial, s incident.RetentionStore) {
	all := names()
	for _, name := range all {
		wantLeased(t, s, name, name, longLease)
	}
	for i, name := range all {
		for _, other := range []string{all[(i+1)%len(all)], all[(i+2)%len(all)]} {
			wantWait(t, s, name, other, longLease)
		}
		wantLeased(t, s, name, name, longLease)
	}
}

// If several ask at the same time, a single holder gets the right.
func leaseGoesToOneOfMany(t *trial, s incident.RetentionStore) {
	for i := range 10 {
		var winners atomic.Int32
		t.together(racers, func(holder int) {
			l, err := s.Lease(t.Context(), fmt.Sprint("task ", i), fmt.Sprint("holder ", holder), longLease)
			if err != nil {
				t.Errorf("Lease() = %v, want no error", err)
			} else if l.Wait == 0 {
				winners.Add(1)
			}
		})
		if n := winners.Load(); n != 1 {
			t.Errorf("%d of %d holders get the right, want 1", n, racers)
		}
	}
}

// Now is the time of the call, by a clock that does not depend on the task, the holder or the
// outcome.
func leaseTellsTheTime(t *trial, s incident.RetentionStore) {
	last := mustLease(t, s, "purge", "first", longLease).Now
	for _, holder := range []string{"second", "first", "second"} {
		begun := time.Now()
		time.Sleep(2 * shortLease)
		now := mustLease(t, s, "purge", holder, longLease).Now
		if passed := now.Sub(last); passed < shortLease || passed > time.Since(begun)+time.Second {
			t.Errorf("between two calls of Lease() Now moves by %v, want %v", passed, time.Since(begun))
		}
		last = now
	}
}

func leaseObeysTheContext(t *trial, s incident.RetentionStore) {
	wantDoneContext(t, s, "Lease()", func(ctx context.Context) error {
		_, err := s.Lease(ctx, "purge", "first", longLease)
		return err
	})
	wantLeased(t, s, "purge", "second", longLease)
}
