package storetest

import (
	"context"
	"time"

	"github.com/incidentkit/incident"
)

// repeatBriefly calls a method with contexts that end ever later after each failure, until the
// method is done. The first context has ended.
func repeatBriefly(t *trial, method string, call func(ctx context.Context) (done bool, err error)) {
	t.Helper()
	patience := time.Duration(0)
	for range 100 {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		done, err := call(ctx)
		cancel()
		switch {
		case done:
			return
		case err != nil:
			patience = 2*patience + 50*time.Microsecond
		default:
			patience /= 4
		}
	}
	t.Errorf("%s does not come to an end", method)
}

// wantNoResult checks the result of a method that has failed.
func wantNoResult(t *trial, method string, result, zero any, err error) {
	t.Helper()
	if err != nil {
		wantEqual(t, "the result of "+method+" with the error "+err.Error(), result, zero)
	}
}

// Purge that fails returns no batch, and repetitions delete the rest. A failed call may still be at
// work for a moment, and then holds incidents back from the next.
func purgeCompletesAfterFailures(t *trial, s incident.RetentionStore) {
	var all []incident.State
	for range 6 {
		all = append(all, mustRemains(t, s, acme))
	}
	q := anyDue(acme)
	q.Limit = 2
	held := 0
	repeatBriefly(t, "Purge()", func(ctx context.Context) (bool, error) {
		b, err := s.Purge(ctx, q)
		wantNoResult(t, "Purge()", b, incident.PurgeBatch{}, err)
		if err != nil {
			return false, err
		}
		q.After = b.Next
		if held += b.Held; b.Next != nil || held == 0 {
			return b.Next == nil, nil
		}
		held = 0 // the next pass begins
		time.Sleep(10 * time.Millisecond)
		return false, nil
	})
	for _, st := range all {
		wantGone(t, s, st)
	}
}

// EraseUser that fails returns no batch, and repetitions replace the user in the rest.
func eraseCompletesAfterFailures(t *trial, s incident.RetentionStore) {
	for range 5 {
		mustTraces(t, s, acme, ada)
	}
	var want []record
	for _, r := range mustSnapshot(t, s, acme).Incidents {
		want = append(want, withoutUser(r, ada, "former user"))
	}
	q := erasing(acme, ada, "former user")
	q.Limit = 2
	repeatBriefly(t, "EraseUser()", func(ctx context.Context) (bool, error) {
		b, err := s.EraseUser(ctx, q)
		wantNoResult(t, "EraseUser()", b, incident.EraseBatch{}, err)
		if err == nil {
			q.After = b.Next
		}
		return err == nil && b.Next == 0, err
	})
	wantEqual(t, "the records after repetitions of EraseUser()", mustSnapshot(t, s, acme).Incidents, want)
}

// DeleteOrganization that fails returns no batch, and repetitions delete the rest.
func deleteOrganizationCompletesAfterFailures(t *trial, s incident.RetentionStore) {
	var all []incident.State
	for range 4 {
		all = append(all, mustRemains(t, s, acme), mustCreate(t, s, draft(acme)))
	}
	repeatBriefly(t, "DeleteOrganization()", func(ctx context.Context) (bool, error) {
		b, err := s.DeleteOrganization(ctx, acme, 3)
		wantNoResult(t, "DeleteOrganization()", b, incident.DeleteBatch{}, err)
		return err == nil && b.Done, err
	})
	for _, st := range all {
		wantGone(t, s, st)
	}
}
