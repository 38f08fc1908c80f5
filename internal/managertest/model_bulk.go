package managertest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// bulkAnswer holds the results of a call for many. In an expected bulkAnswer, world is the model
// after the call.
type bulkAnswer struct {
	world  *world
	values []any
	errs   []error
}

// each returns a call for many that makes a call for each key, and is the answer of Manager.
func each(name string, keys []incident.Key, args any, one func(key incident.Key) call,
	do func(ctx context.Context, m incident.Manager, keys []incident.Key) ([]incident.BulkResult, error),
) call {
	c := call{name: name, args: []any{keys, args}}
	for _, key := range keys {
		c.orgs = append(c.orgs, key.OrganizationID)
		c.parts = append(c.parts, one(key))
	}
	c.do = func(ctx context.Context, m incident.Manager) (any, error) {
		lent, back := lend(keys)
		results, err := do(ctx, m, lent)
		if err := errors.Join(back(), err); err != nil {
			return nil, err
		}
		got := bulkAnswer{}
		for i, r := range results {
			if len(results) != len(keys) || r.Key != keys[i] {
				return nil, fmt.Errorf("result %d of %d is of %s, want the results of %v", i, len(results), r.Key, keys)
			}
			var value any = r.Result
			if r.Err != nil {
				value = nil
			}
			got.values, got.errs = append(got.values, value), append(got.errs, r.Err)
		}
		return got, got.failure()
	}
	c.expect = func(w *world) (any, error) {
		if !isForMany(keys) {
			return nil, incident.ErrInvalid
		}
		want := bulkAnswer{world: w}
		for _, part := range c.parts {
			v, err := part.expect(w)
			want.values, want.errs = append(want.values, v), append(want.errs, err)
		}
		return want, want.failure()
	}
	return c
}

// failure returns the first result that ends a transaction: an outage, else a conflict.
func (a bulkAnswer) failure() error {
	for _, ends := range []func(error) bool{isOutage, isConflict} {
		if i := slices.IndexFunc(a.errs, ends); i >= 0 {
			return a.errs[i]
		}
	}
	return nil
}

func isConflict(err error) bool { return category(err) == incident.ErrConflict }

// isForMany reports whether a call for many accepts the keys.
func isForMany(keys []incident.Key) bool {
	for i, key := range keys {
		if key.OrganizationID != keys[0].OrganizationID || slices.Contains(keys[:i], key) {
			return false
		}
	}
	return true
}

func (want bulkAnswer) check(got bulkAnswer) error {
	for i := range want.errs {
		if err := checkError(want.errs[i], got.errs[i]); err != nil {
			return fmt.Errorf("result %d: %w", i, err)
		}
		if got.errs[i] != nil {
			continue
		}
		if err := checkValue(want.world, want.values[i], got.values[i]); err != nil {
			return fmt.Errorf("result %d: %w", i, err)
		}
	}
	return nil
}

// settleEach finds out which incidents a call for many has written, when some have no answer.
func (m *machine) settleEach(c call, before *world, got bulkAnswer) error {
	m.w = before
	for i, part := range c.parts {
		outcome := got.errs[i]
		if !isOutage(outcome) {
			want, wantErr := part.expect(m.w)
			if err := m.compare(want, wantErr, got.values[i], outcome); err != nil {
				return fmt.Errorf("result %d: %w", i, err)
			}
			continue
		}
		// The fault of one write ends the context of the writes beside it, in the middle of
		// which the Manager joins both errors.
		isJoined := errors.Is(outcome, incident.ErrUnknownOutcome) && errors.Is(outcome, context.Canceled)
		if n := countCategories(outcome); n != 1 && !(isJoined && n == 2) {
			return fmt.Errorf("error %q matches %d categories, want one", outcome, n)
		}
		if !errors.Is(outcome, incident.ErrUnknownOutcome) {
			continue // look finds out if something was written
		}
		after := m.w.clone()
		_, _ = part.expect(after)
		if m.see(m.plain, m.w, get(part.args[0].(incident.Key))) != nil {
			m.w = after
		}
	}
	return nil
}

// derived is the UUID of a key's activity in a call for many. Processes of several versions must
// derive the same.
func derived(id uuid.UUID, key incident.Key) uuid.UUID {
	if id == uuid.Nil {
		return id
	}
	return uuid.NewSHA1(id, []byte(key.String()))
}

func updateStatusAll(keys []incident.Key, u incident.StatusUpdate) call {
	one := func(key incident.Key) call {
		u := u
		u.NotificationUUID = derived(u.NotificationUUID, key)
		return updateStatus(key, u)
	}
	return each("UpdateStatusAll", keys, u, one,
		func(ctx context.Context, m incident.Manager, keys []incident.Key) ([]incident.BulkResult, error) {
			return m.UpdateStatusAll(ctx, keys, u)
		})
}

func acknowledgeAll(keys []incident.Key, a incident.Acknowledgement) call {
	one := func(key incident.Key) call {
		a := a
		a.NotificationUUID = derived(a.NotificationUUID, key)
		return acknowledge(key, a)
	}
	c := each("AcknowledgeAll", keys, a, one,
		func(ctx context.Context, m incident.Manager, keys []incident.Key) ([]incident.BulkResult, error) {
			return m.AcknowledgeAll(ctx, keys, a)
		})
	expect := c.expect
	c.expect = func(w *world) (any, error) {
		if !a.Until.IsZero() && (a.Withdraw || !cut(a.Until).After(w.now)) {
			return nil, incident.ErrInvalid
		}
		return expect(w)
	}
	return c
}
