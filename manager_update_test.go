package incident_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// updateCall is an update of acme#1 that a caller may repeat. acme#2 is another incident.
type updateCall struct {
	// prepare changes the incident such that the update has something to change. It may be
	// nil.
	prepare func(ctx context.Context, m incident.Manager) error
	update  func(ctx context.Context, m incident.Manager, expect int64, id uuid.UUID) (incident.Result, error)

	// revert makes the incident such that the update would change it again, or would be
	// refused.
	revert func(ctx context.Context, m incident.Manager) error
}

func sets(status incident.Status) func(context.Context, incident.Manager) error {
	return func(ctx context.Context, m incident.Manager) error {
		return only(m.UpdateStatus(ctx, key, incident.StatusUpdate{Status: status}))
	}
}

func acknowledges(a incident.Acknowledgement) func(context.Context, incident.Manager) error {
	return func(ctx context.Context, m incident.Manager) error { return only(m.Acknowledge(ctx, key, a)) }
}

func edits(e incident.Edit) func(context.Context, incident.Manager) error {
	return func(ctx context.Context, m incident.Manager) error { return only(m.Edit(ctx, key, e)) }
}

// inTurn makes calls one after another.
func inTurn(calls ...func(context.Context, incident.Manager) error) func(context.Context, incident.Manager) error {
	return func(ctx context.Context, m incident.Manager) error {
		for _, call := range calls {
			if err := call(ctx, m); err != nil {
				return err
			}
		}
		return nil
	}
}

var updateCalls = map[string]updateCall{
	"UpdateStatus": {
		update: func(ctx context.Context, m incident.Manager, expect int64, id uuid.UUID) (incident.Result, error) {
			return m.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusCritical, ExpectVersion: expect, NotificationUUID: id})
		},
		revert: sets(incident.StatusWarning),
	},
	"UpdateStatus, then refused": {
		update: func(ctx context.Context, m incident.Manager, expect int64, id uuid.UUID) (incident.Result, error) {
			u := incident.StatusUpdate{Status: incident.StatusClosed, Date: now, ExpectVersion: expect, NotificationUUID: id}
			return m.UpdateStatus(ctx, key, u)
		},
		revert: inTurn(sets(incident.StatusOpen), edits(incident.Edit{DateStarted: now.Add(time.Hour)})),
	},
	"Acknowledge": {
		update: func(ctx context.Context, m incident.Manager, expect int64, id uuid.UUID) (incident.Result, error) {
			return m.Acknowledge(ctx, key, incident.Acknowledgement{UserID: "ada", ExpectVersion: expect, NotificationUUID: id})
		},
		revert: acknowledges(incident.Acknowledgement{Withdraw: true}),
	},
	"Acknowledge until": {
		prepare: acknowledges(incident.Acknowledgement{UserID: "grace"}),
		update: func(ctx context.Context, m incident.Manager, expect int64, id uuid.UUID) (incident.Result, error) {
			a := incident.Acknowledgement{UserID: "ada", Until: now.Add(time.Hour), ExpectVersion: expect, NotificationUUID: id}
			return m.Acknowledge(ctx, key, a)
		},
		revert: acknowledges(incident.Acknowledgement{Until: now.Add(2 * time.Hour)}),
	},
	"withdrawal": {
		prepare: acknowledges(incident.Acknowledgement{UserID: "grace"}),
		update: func(ctx context.Context, m incident.Manager, expect int64, id uuid.UUID) (incident.Result, error) {
			return m.Acknowledge(ctx, key, incident.Acknowledgement{Withdraw: true, ExpectVersion: expect, NotificationUUID: id})
		},
		revert: acknowledges(incident.Acknowledgement{UserID: "linus"}),
	},
	"Assign": {
		update: func(ctx context.Context, m incident.Manager, expect int64, id uuid.UUID) (incident.Result, error) {
			return m.Assign(ctx, key, incident.Assignment{Assignee: "ada", ExpectVersion: expect, NotificationUUID: id})
		},
		revert: func(ctx context.Context, m incident.Manager) error {
			return only(m.Assign(ctx, key, incident.Assignment{}))
		},
	},
	"Edit": {
		update: func(ctx context.Context, m incident.Manager, expect int64, id uuid.UUID) (incident.Result, error) {
			return m.Edit(ctx, key, incident.Edit{Labels: map[string]string{"env": "prod", "team": "a"}, ExpectVersion: expect, NotificationUUID: id})
		},
		revert: edits(incident.Edit{Labels: map[string]string{"env": ""}}),
	},
	"Edit, then refused": {
		update: func(ctx context.Context, m incident.Manager, expect int64, id uuid.UUID) (incident.Result, error) {
			return m.Edit(ctx, key, incident.Edit{Labels: map[string]string{"env": "prod"}, ExpectVersion: expect, NotificationUUID: id})
		},
		revert: inTurn(edits(incident.Edit{Labels: map[string]string{"env": ""}}), func(ctx context.Context, m incident.Manager) error {
			labels := map[string]string{}
			for _, name := range many[string](incident.MaxLabels) {
				labels[name] = "x"
			}
			return edits(incident.Edit{Labels: labels})(ctx, m)
		}),
	},
	"MarkDuplicate": {
		update: func(ctx context.Context, m incident.Manager, expect int64, id uuid.UUID) (incident.Result, error) {
			return m.MarkDuplicate(ctx, key, incident.Duplicate{Of: 2, ExpectVersion: expect, NotificationUUID: id})
		},
		revert: sets(incident.StatusOpen),
	},
	"MarkDuplicate, then refused": {
		update: func(ctx context.Context, m incident.Manager, expect int64, id uuid.UUID) (incident.Result, error) {
			return m.MarkDuplicate(ctx, key, incident.Duplicate{Of: 2, ExpectVersion: expect, NotificationUUID: id})
		},
		revert: inTurn(sets(incident.StatusOpen), func(ctx context.Context, m incident.Manager) error {
			return only(m.MarkDuplicate(ctx, other, incident.Duplicate{Of: 3}))
		}),
	},
}

var other = incident.Key{OrganizationID: "acme", Identifier: 2}

// eachUpdate runs a test for each update, over a store that is local and one that is not, with
// the incidents acme#1 to acme#3. The update has something to change.
func eachUpdate(t *testing.T, test func(t *testing.T, m incident.Manager, c updateCall)) {
	for name, c := range updateCalls {
		for kind, store := range map[string]incident.Store{"local": memory.New(), "remote": &probe{Store: memory.New()}} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				m, err := incident.New(store, &incident.Options{Now: func() time.Time { return now }})
				if err != nil {
					t.Fatal(err)
				}
				for range 3 {
					if err := create(func(*incident.NewIncident) {})(t.Context(), m); err != nil {
						t.Fatal(err)
					}
				}
				if c.prepare != nil {
					if err := c.prepare(t.Context(), m); err != nil {
						t.Fatal(err)
					}
				}
				test(t, m, c)
			})
		}
	}
}

func mustUpdate(t *testing.T, m incident.Manager, c updateCall, expect int64, id uuid.UUID) incident.Result {
	t.Helper()
	r, err := c.update(t.Context(), m, expect, id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A repeated update writes nothing, whatever has happened since.
func TestManager_recognizesRepeatedUpdates(t *testing.T) {
	eachUpdate(t, func(t *testing.T, m incident.Manager, c updateCall) {
		id, expect := uuid.New(), mustGet(t, m).Version
		if first := mustUpdate(t, m, c, expect, id); !first.Changed || first.Version != expect+1 {
			t.Fatalf("the first call = %+v", first)
		}
		repeat := func(when string) {
			t.Helper()
			version, sequence := mustGet(t, m).Version, lastSequence(t, m)
			for _, expected := range []int64{0, expect} {
				got, err := c.update(t.Context(), m, expected, id)
				if err != nil || got.Changed || got.Version != version || lastSequence(t, m) != sequence {
					t.Errorf("repeated %s, expecting version %d: %+v, %v, want version %d unchanged", when, expected, got, err, version)
				}
			}
			err := m.InTx(t.Context(), func(tx incident.Manager) error {
				if _, err := c.update(t.Context(), tx, expect, id); err != nil {
					return err
				}
				return only(tx.MarkSeen(t.Context(), key, "ada"))
			})
			if err != nil || mustGet(t, m).Version != version {
				t.Errorf("repeated %s in a transaction: %v", when, err)
			}
		}
		repeat("at once")
		if err := c.revert(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		repeat("after another change")
	})
}

func TestManager_refusesOutdatedUpdates(t *testing.T) {
	eachUpdate(t, func(t *testing.T, m incident.Manager, c updateCall) {
		expect := mustGet(t, m).Version
		if err := edits(incident.Edit{Title: "Meanwhile"})(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		for _, id := range []uuid.UUID{{}, uuid.New()} {
			for _, version := range []int64{expect, expect + 2} {
				if r, err := c.update(t.Context(), m, version, id); !errors.Is(err, incident.ErrVersionConflict) {
					t.Errorf("expecting version %d = %+v, %v, want ErrVersionConflict", version, r, err)
				}
			}
		}
		if r := mustUpdate(t, m, c, expect+1, uuid.New()); !r.Changed {
			t.Errorf("expecting the current version = %+v", r)
		}
	})
}

// The UUID of another activity is refused, also of another incident.
func TestManager_refusesForeignUUIDs(t *testing.T) {
	eachUpdate(t, func(t *testing.T, m incident.Manager, c updateCall) {
		id := uuid.New()
		comment := incident.NewComment{UserID: "ada", Comment: "x", NotificationUUID: id}
		for _, key := range []incident.Key{key, other} {
			comment.NotificationUUID[15]++
			if _, err := m.Comment(t.Context(), key, comment); err != nil {
				t.Fatal(err)
			}
			before := mustGet(t, m)
			for _, expect := range []int64{0, before.Version, 99} {
				if r, err := c.update(t.Context(), m, expect, comment.NotificationUUID); !errors.Is(err, incident.ErrConflict) || errors.Is(err, incident.ErrVersionConflict) {
					t.Errorf("with the UUID of a comment on %s, expecting version %d: %+v, %v, want ErrConflict", key, expect, r, err)
				}
			}
			if after := mustGet(t, m); after.Version != before.Version {
				t.Errorf("a refused update changed version %d to %d", before.Version, after.Version)
			}
		}
		// A refusal for the state remains what it is.
		if err := inTurn(func(ctx context.Context, m incident.Manager) error { return only(c.update(ctx, m, 0, uuid.Nil)) }, c.revert)(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		_, want := c.update(t.Context(), m, 0, uuid.New())
		_, got := c.update(t.Context(), m, 0, comment.NotificationUUID)
		if errors.Is(want, incident.ErrInvalid) && (got == nil || got.Error() != want.Error()) {
			t.Errorf("with a foreign UUID the refusal is %v, want %v", got, want)
		}
	})
}

func lastSequence(t *testing.T, m incident.Manager) int64 {
	t.Helper()
	page, err := m.Activities(t.Context(), key, incident.ActivityFilter{Descending: true, Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	return page.Activities[0].Sequence
}
