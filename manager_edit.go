package incident

import (
	"context"
	"time"
)

func (m *manager) Edit(ctx context.Context, key Key, e Edit) (Result, error) {
	r, err := m.edit(ctx, key, e)
	return r.listed(), wrap(err, "edit %s", key)
}

func (m *manager) edit(ctx context.Context, key Key, e Edit) (Result, error) {
	now, err := m.begin(ctx)
	if err != nil {
		return Result{}, err
	}
	if err := checkKey(key); err != nil {
		return Result{}, err
	}
	if err := e.check(now); err != nil {
		return Result{}, err
	}
	return m.update(ctx, update{key, e.ExpectVersion, e.NotificationUUID, ActivityTypeEdited},
		func(before *State) (decision, error) { return decideEdit(before, &e, now) })
}

func (m *manager) MarkDuplicate(ctx context.Context, key Key, d Duplicate) (Result, error) {
	r, err := m.markDuplicate(ctx, key, d)
	return r.listed(), wrap(err, "mark %s as a duplicate", key)
}

// markDuplicate begins again after a conflict. A transaction of the caller is not repeated.
func (m *manager) markDuplicate(ctx context.Context, key Key, d Duplicate) (Result, error) {
	now, err := m.begin(ctx)
	if err != nil {
		return Result{}, err
	}
	if err := checkKey(key); err != nil {
		return Result{}, err
	}
	if err := d.check(key); err != nil {
		return Result{}, err
	}
	if m.tx != nil {
		return m.markDuplicateInTx(ctx, key, d, now)
	}
	isOutrun := func(err error) bool { return d.ExpectVersion == 0 && m.outrun(err, subject{key: key}) }
	var r Result
	err = m.alone(ctx, 1, isOutrun, func(tx *manager) (err error) {
		r, err = tx.markDuplicateInTx(ctx, key, d, now)
		return err
	})
	if err != nil {
		return Result{}, err
	}
	return r, nil
}

// markDuplicateInTx decides on both incidents in a transaction, in which the store keeps them
// from changing. It loads them in the order of their identifiers, so that no two calls deadlock.
func (m *manager) markDuplicateInTx(ctx context.Context, key Key, d Duplicate, now time.Time) (Result, error) {
	if key.Identifier < d.Of {
		if _, err := m.storedView(ctx, &subject{key: key}); err != nil {
			return Result{}, err
		}
	}
	other, err := m.storedView(ctx, &subject{key: Key{OrganizationID: key.OrganizationID, Identifier: d.Of}})
	if err != nil {
		return Result{}, err
	}
	return m.update(ctx, update{key, d.ExpectVersion, d.NotificationUUID, ActivityTypeMarkedDuplicate},
		func(before *State) (decision, error) { return decideDuplicate(before, other.state, &d, now) })
}
