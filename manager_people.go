package incident

import "context"

func (m *manager) MarkSeen(ctx context.Context, key Key, user UserID) (Seen, error) {
	seen, err := m.markSeen(ctx, key, user)
	return seen, wrap(err, "mark %s seen", key)
}

func (m *manager) markSeen(ctx context.Context, key Key, user UserID) (Seen, error) {
	now, err := m.begin(ctx)
	if err != nil {
		return Seen{}, err
	}
	if err := m.admit(ctx, key, user); err != nil {
		return Seen{}, err
	}
	m.attempt()
	seen, err := m.store.MarkSeen(ctx, Seen{Incident: key, UserID: user, LastSeen: now})
	return seen, m.observeAbsent(ctx, key, m.failed(err))
}

func (m *manager) SeenBy(ctx context.Context, key Key) ([]Seen, error) {
	seen, err := readStore(ctx, m, key, m.store.SeenBy)
	return listed(seen), wrap(err, "seen by of %s", key)
}

func (m *manager) Subscribe(ctx context.Context, key Key, user UserID) (Subscription, error) {
	sub, err := m.subscribe(ctx, key, user)
	return sub, wrap(err, "subscribe to %s", key)
}

func (m *manager) subscribe(ctx context.Context, key Key, user UserID) (Subscription, error) {
	now, err := m.begin(ctx)
	if err != nil {
		return Subscription{}, err
	}
	if err := m.admit(ctx, key, user); err != nil {
		return Subscription{}, err
	}
	m.attempt()
	sub, err := m.store.Subscribe(ctx, Subscription{Incident: key, UserID: user, DateAdded: now})
	return sub, m.observeAbsent(ctx, key, m.failed(err))
}

func (m *manager) Unsubscribe(ctx context.Context, key Key, user UserID) error {
	return wrap(m.unsubscribe(ctx, key, user), "unsubscribe from %s", key)
}

func (m *manager) unsubscribe(ctx context.Context, key Key, user UserID) error {
	if err := m.usable(ctx); err != nil {
		return err
	}
	if err := checkKey(key); err != nil {
		return err
	}
	if err := checkID("userId", user, false); err != nil {
		return err
	}
	m.attempt()
	return m.observeAbsent(ctx, key, m.failed(m.store.Unsubscribe(ctx, key, user)))
}

func (m *manager) Subscribers(ctx context.Context, key Key) ([]Subscription, error) {
	subs, err := readStore(ctx, m, key, m.store.Subscribers)
	return listed(subs), wrap(err, "subscribers of %s", key)
}
