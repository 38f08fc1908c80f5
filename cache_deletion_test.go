package incident_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// No entry of a deleted incident is served after the call.
func TestDeletion_emptiesTheCache(t *testing.T) {
	for name, cache := range sharedCaches() {
		for call, do := range map[string]func(context.Context, incident.Manager) error{
			"Purge": purges, "DeleteOrganization": deletingCalls["DeleteOrganization"],
		} {
			t.Run(name+", "+call, func(t *testing.T) {
				m, _ := closedAndCached(t, cache())
				if err := do(t.Context(), m); err != nil {
					t.Fatal(err)
				}
				wantGone(t, m, "after "+call)
				if mustActive(t, m) {
					t.Error("the slot is taken")
				}
				mustFire(t, m, "5%", incident.StatusWarning)
				if !mustActive(t, m) {
					t.Error("the slot is free after a firing")
				}
			})
		}
	}
}

// A load that began before a deletion does not fill the cache after it, and answers no read that
// begins after it.
func TestDeletion_overtakesLoads(t *testing.T) {
	for name, cache := range sharedCaches() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, p := probed(t, &incident.Options{Cache: incident.NoCache})
				mustClose(t, m)
				m, err := incident.New(p, &incident.Options{Cache: cache()})
				if err != nil {
					t.Fatal(err)
				}
				p.delayOnce("Load")
				go func() { _, _ = m.Get(t.Context(), key) }()
				synctest.Wait()
				mustPurge(t, m, 0, 1, 0)
				wantGone(t, m, "during a load")
				time.Sleep(2 * time.Second)
				wantGone(t, m, "after a load")
			})
		})
	}
}

// A write that was committed before a deletion and publishes after it stores no entry.
func TestDeletion_overtakesPublications(t *testing.T) {
	m, p := probed(t, nil)
	var deleted bool
	p.ended = func() {
		if !deleted { // the transaction is committed, and not yet published
			deleted = true
			mustPurge(t, m, 0, 1, 0)
		}
	}
	if err := m.InTx(t.Context(), func(tx incident.Manager) error {
		mustClose(t, tx)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	wantGone(t, m, "after the publication")
}

// A reader that has not found the incident in the store does not find it in the cache afterwards,
// even before the deletion has returned.
func TestDeletion_isSeenOnceInTheStore(t *testing.T) {
	for name, read := range keyCalls(key) {
		if name == "Get" || name == "Triggers" || name == "MarkDuplicate" || selects[name] || strings.Contains(name, "Remind") {
			continue // from the cache, or refused before without an outbox
		}
		t.Run(name, func(t *testing.T) {
			m, p := closedAndCached(t, nil)
			p.after = func(method string) error {
				if method == "Purge" {
					if err := read(t.Context(), m); !errors.Is(err, incident.ErrNotFound) {
						t.Errorf("%s during Purge = %v", name, err)
					}
					wantGone(t, m, "after "+name)
				}
				return nil
			}
			mustPurge(t, m, 0, 1, 0)
			if got := m.Stats().Feed.Resets; got != 0 {
				t.Errorf("%d resets, want none: nothing was lost", got)
			}
		})
	}
}

// A missing incident that was deleted is no sign that the store has lost commits.
func TestDeletion_isNoLoss(t *testing.T) {
	for name, cache := range sharedCaches() {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			m, _ := probed(t, &incident.Options{Cache: cache(), Logger: slog.New(slog.NewTextHandler(&log, nil))})
			mustClose(t, m)
			mustGet(t, m)
			mustPurge(t, m, 0, 1, 0)
			for range 2 {
				for name, call := range keyCalls(key) {
					if err := call(t.Context(), m); err == nil {
						t.Errorf("%s of a deleted incident succeeds", name)
					}
				}
			}
			if got := m.Stats().Feed.Resets; got != 0 || strings.Contains(log.String(), "starts over") {
				t.Errorf("%d resets, want none: %s", got, &log)
			}
		})
	}
}

// A deletion of unknown outcome may be committed later. No entry is served after that.
func TestDeletion_outlastsALateCommit(t *testing.T) {
	for name, cache := range sharedCaches() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, p := closedAndCached(t, cache())
				p.before = func(method string) error {
					if method == "Purge" {
						return incident.ErrUnknownOutcome
					}
					return nil
				}
				if err := purges(t.Context(), m); !errors.Is(err, incident.ErrUnknownOutcome) {
					t.Fatal(err)
				}
				p.before = nil
				mustGet(t, m)
				time.Sleep(30 * time.Second)
				mustGet(t, m)
				if _, err := deletes(p.Store).Purge(t.Context(), incident.PurgeQuery{OrganizationID: "acme", ClosedBefore: later(), Limit: 10}); err != nil {
					t.Fatal(err)
				}
				wantGone(t, m, "after a late commit")
				time.Sleep(time.Minute)
				mustFire(t, m, "5%", incident.StatusWarning)
				loads := p.loads.Load()
				for range 3 {
					if _, err := m.Get(t.Context(), incident.Key{OrganizationID: "acme", Identifier: 2}); err != nil {
						t.Fatal(err)
					}
				}
				if got := p.loads.Load() - loads; got > 1 {
					t.Errorf("three reads are %d loads: the cache is not used again", got)
				}
			})
		})
	}
}

// A deletion that fails after a part of its work leaves no entry of that part.
func TestDeletion_failsInPart(t *testing.T) {
	for name, call := range deletingCalls {
		t.Run(name, func(t *testing.T) {
			m, p := closedAndCached(t, nil)
			p.after = func(method string) error {
				if method == name {
					return incident.ErrUnavailable
				}
				return nil
			}
			if err := call(t.Context(), m); !errors.Is(err, incident.ErrUnavailable) {
				t.Fatal(err)
			}
			p.after = nil
			want := reference(t, p)
			_, err1 := m.Get(t.Context(), key)
			_, err2 := want.Get(t.Context(), key)
			if (err1 == nil) != (err2 == nil) {
				t.Errorf("Get = %v, the store says %v", err1, err2)
			}
		})
	}
}

// Another process does not serve a deleted incident for longer than a second, and its slots are
// usable at once.
func TestDeletion_isReportedToOtherProcesses(t *testing.T) {
	for name, call := range map[string]func(context.Context, incident.Manager) error{
		"Purge": purges, "DeleteOrganization": deletingCalls["DeleteOrganization"],
	} {
		t.Run(name, func(t *testing.T) {
			twoProcesses(t, func(t *testing.T, h *hub, a, b *process) {
				mustGet(t, a)
				mustActive(t, a)
				if name == "Purge" {
					mustClose(t, b)
				}
				if err := call(t.Context(), b); err != nil {
					t.Fatal(err)
				}
				if _, _, err := a.Active(t.Context(), slot); err != nil {
					t.Errorf("Active() before the feed has reported the deletion = %v", err)
				}
				wantGone(t, b, "in the same process")
				time.Sleep(time.Second)
				wantGone(t, a, "in the other process after a second")
				if got := mustFire(t, a, "5%", incident.StatusWarning); got.Identifier != 2 || !got.Changed {
					t.Errorf("a firing of the other process is %+v", got)
				}
				time.Sleep(time.Second)
				if !mustActive(t, b) || !mustActive(t, a) {
					t.Error("the slot is free after the firing")
				}
			})
		})
	}
}

// A firing that was decided on an incident that another process has deleted opens another.
func TestDeletion_firingOpensAnother(t *testing.T) {
	twoProcesses(t, func(t *testing.T, h *hub, a, b *process) {
		mustGet(t, a)
		mustActive(t, a)
		mustClose(t, b)
		mustPurge(t, b, 0, 1, 0)
		if got := mustFire(t, a, "10%", incident.StatusWarning); got.Identifier != 2 || !got.Changed {
			t.Errorf("the firing is %+v, want another incident", got)
		}
	})
}

// The same if the incident is deleted between the decision and the write.
func TestDeletion_duringAFiring(t *testing.T) {
	m, p := probed(t, nil)
	other := reference(t, p)
	var done atomic.Bool
	p.before = func(method string) error {
		if method == "Apply" && !done.Swap(true) {
			mustClose(t, other)
			mustPurge(t, other, 0, 1, 0)
		}
		return nil
	}
	if got := mustFire(t, m, "10%", incident.StatusWarning); got.Identifier != 2 || !got.Changed {
		t.Errorf("the firing is %+v, want another incident", got)
	}
}

// Watchers are told of a deleted incident once, with its last version.
func TestWatch_tellsOfDeletions(t *testing.T) {
	t.Run("without a feed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m, err := incident.New(memory.New(), nil)
			if err != nil {
				t.Fatal(err)
			}
			mustFire(t, m, "5%", incident.StatusWarning)
			mustClose(t, m)
			w := watchAcme(t, m)
			defer w.stop()
			w.take()
			mustPurge(t, m, 0, 1, 0)
			w.wantTold(t, "after a deletion", numbers(3, 4))
			wantGone(t, m, "after it was told")
			if _, err := m.DeleteOrganization(t.Context(), "acme"); err != nil {
				t.Fatal(err)
			}
			w.wantResyncs(t, "after the end of the organization", 1)
		})
	})
	t.Run("with a feed", func(t *testing.T) {
		twoProcesses(t, func(t *testing.T, h *hub, a, b *process) {
			mustClose(t, b)
			wa, wb := watchAcme(t, a), watchAcme(t, b)
			defer wa.stop()
			defer wb.stop()
			time.Sleep(time.Second)
			wa.take()
			wb.take()
			mustPurge(t, b, 0, 1, 0)
			time.Sleep(100 * time.Millisecond)
			wa.wantTold(t, "in the other process", numbers(3, 4))
			wb.wantTold(t, "in the same process", numbers(3, 4))
		})
	})
	t.Run("of unknown outcome", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m, p := closedAndCached(t, nil)
			w := watchAcme(t, m)
			defer w.stop()
			w.take()
			p.before = func(string) error { return incident.ErrUnknownOutcome }
			if err := purges(t.Context(), m); err == nil {
				t.Fatal("the call succeeds")
			}
			w.wantResyncs(t, "after a deletion of unknown outcome", 1)
		})
	})
	t.Run("of a change before", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m, err := incident.New(memory.New(), nil)
			if err != nil {
				t.Fatal(err)
			}
			mustFire(t, m, "5%", incident.StatusWarning)
			var last incident.Changes
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			first := true
			err = m.Watch(ctx, "acme", func(c incident.Changes) error {
				if last = c; first {
					first = false
					mustClose(t, m)
					mustPurge(t, m, 0, 1, 0)
					return nil
				}
				cancel()
				return nil
			})
			if err != nil || last.Resync || len(last.Incidents) != 1 || last.Incidents[0] != numbers(3, 4) {
				t.Errorf("told %+v, %v, want the deletion alone", last, err)
			}
		})
	})
}
