package incident

import "context"

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

// markDuplicate decides on both incidents in a transaction, in which the store keeps them from
// changing. It loads them in the order of their identifiers, so that no two calls deadlock.
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
	var r Result
	err = m.InTx(ctx, func(joined Manager) (err error) {
		tx := joined.(*manager)
		if key.Identifier < d.Of {
			if _, err := tx.storedView(ctx, subject{key: key}); err != nil {
				return err
			}
		}
		other, err := tx.storedView(ctx, subject{key: Key{OrganizationID: key.OrganizationID, Identifier: d.Of}})
		if err != nil {
			return err
		}
		r, err = tx.update(ctx, update{key, d.ExpectVersion, d.NotificationUUID, ActivityTypeMarkedDuplicate},
			func(before *State) (decision, error) { return decideDuplicate(before, other.state, &d, now) })
		return err
	})
	if err != nil {
		return Result{}, err
	}
	return r, nil
}
