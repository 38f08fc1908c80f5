package incident_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
)

// A writer that waits for its turn stops waiting when its context ends.
func TestWrite_stopsWaitingWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, p := probed(t, nil)
		p.before = func(method string) error {
			if method == "Apply" {
				time.Sleep(time.Hour)
			}
			return nil
		}
		var writers sync.WaitGroup
		writers.Go(func() { mustClose(t, m) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := m.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusCritical})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("UpdateStatus = %v after %s", err, time.Since(start))
		}
		writers.Wait()
	})
}

// A write gives up if writers of other processes are always faster, with an error that says so.
func TestWrite_givesUpAfterTooManyConflicts(t *testing.T) {
	m, p := probed(t, nil)
	tries := 0
	p.before = func(method string) error {
		if method == "Apply" {
			tries++
			return incident.ErrVersionConflict
		}
		return nil
	}
	_, err := m.UpdateStatus(t.Context(), key, incident.StatusUpdate{Status: incident.StatusClosed})
	if !errors.Is(err, incident.ErrVersionConflict) || !errors.Is(err, incident.ErrUnavailable) || tries < 2 || tries > 100 {
		t.Errorf("UpdateStatus = %v after %d tries", err, tries)
	}
}

// A write that would change nothing, judging by the cache, is decided again on the store, which
// may have a newer version.
func TestWrite_readsTheStoreBeforeItChangesNothing(t *testing.T) {
	_, p := probed(t, nil)
	var ms [2]incident.Manager // their caches miss each other's writes
	for i := range ms {
		m, err := incident.New(p, nil)
		if err != nil {
			t.Fatal(err)
		}
		ms[i] = m
		mustGet(t, m)
		mustActive(t, m)
		mustActive(t, m)
	}
	mustClose(t, ms[0])
	if r := mustFire(t, ms[1], "5%", incident.StatusWarning); !r.Changed || r.Identifier != 2 {
		t.Errorf("Fire on a stale cache = %+v", r)
	}
	if r := mustClose(t, ms[1]); r.Changed {
		t.Error("closed twice")
	}
	res, err := ms[0].Resolve(t.Context(), incident.Resolution{Slot: slot, TriggerID: "5%"})
	if err != nil || !res.Changed || res.Identifier != 2 {
		t.Errorf("Resolve on a stale cache = %+v, %v", res, err)
	}
}

// disturbed is the error of a transaction that other writers were in the way of.
type disturbed struct{ error }

func (e disturbed) Unwrap() error { return e.error }
func (disturbed) Disturbed() bool { return true }

// A transaction of the Manager's own begins again if other writers are in its way, as by a deadlock. One of
// the caller does not.
func TestWrite_repeatsDisturbedTransactions(t *testing.T) {
	m, p := probed(t, nil)
	other := mustCreate(m)
	tries, outrun, disturbances := 0, 0, 0
	p.before = func(method string) error {
		if method != "Apply" {
			return nil
		}
		switch tries++; {
		case tries <= outrun:
			return incident.ErrVersionConflict
		case tries <= outrun+disturbances:
			return fmt.Errorf("apply: %w", disturbed{incident.ErrUnavailable})
		}
		return nil
	}
	to := func(status incident.Status) func(incident.Manager) error {
		return func(m incident.Manager) error {
			_, err := m.UpdateStatus(t.Context(), key, incident.StatusUpdate{Status: status})
			return err
		}
	}
	for _, c := range []struct {
		name                         string
		outrun, disturbances, atMost int
		call                         func(incident.Manager) error
		want                         error
	}{
		{"UpdateStatus", 4, 2, 7, to(incident.StatusCritical), nil},
		{"UpdateStatus that is always disturbed", 4, 1000, 100, to(incident.StatusClosed), incident.ErrUnavailable},
		{"UpdateStatus in a transaction of the caller", 0, 1, 1, func(m incident.Manager) error {
			return m.InTx(t.Context(), to(incident.StatusClosed))
		}, incident.ErrUnavailable},
		{"MarkDuplicate", 0, 2, 3, func(m incident.Manager) error {
			_, err := m.MarkDuplicate(t.Context(), other, incident.Duplicate{UserID: "ada", Of: key.Identifier})
			return err
		}, nil},
	} {
		tries, outrun, disturbances = 0, c.outrun, c.disturbances
		if err := c.call(m); !errors.Is(err, c.want) || tries > c.atMost {
			t.Errorf("%s = %v after %d tries, want %v after at most %d", c.name, err, tries, c.want, c.atMost)
		}
	}
}
