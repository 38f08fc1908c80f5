package incident

import (
	"context"
	"sync"
)

func (m *manager) UpdateStatusAll(ctx context.Context, keys []Key, u StatusUpdate) ([]BulkResult, error) {
	results, err := m.updateStatusAll(ctx, keys, u)
	return results, wrap(err, "update status of %d incidents", len(keys))
}

func (m *manager) updateStatusAll(ctx context.Context, keys []Key, u StatusUpdate) ([]BulkResult, error) {
	now, err := m.begin(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkBulk(keys, u.ExpectVersion); err != nil {
		return nil, err
	}
	if _, err := u.check(now); err != nil {
		return nil, err
	}
	return m.each(keys, func(key Key) (Result, error) {
		one := u
		one.NotificationUUID = uuidOf(u.NotificationUUID, key)
		return m.UpdateStatus(ctx, key, one)
	}), nil
}

func (m *manager) AcknowledgeAll(ctx context.Context, keys []Key, a Acknowledgement) ([]BulkResult, error) {
	results, err := m.acknowledgeAll(ctx, keys, a)
	return results, wrap(err, "acknowledge %d incidents", len(keys))
}

func (m *manager) acknowledgeAll(ctx context.Context, keys []Key, a Acknowledgement) ([]BulkResult, error) {
	now, err := m.begin(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkBulk(keys, a.ExpectVersion); err != nil {
		return nil, err
	}
	if err := a.check(now); err != nil {
		return nil, err
	}
	return m.each(keys, func(key Key) (Result, error) {
		one := a
		one.NotificationUUID = uuidOf(a.NotificationUUID, key)
		return m.Acknowledge(ctx, key, one)
	}), nil
}

// bulkAtOnce is how many incidents of a call for many are written at the same time.
const bulkAtOnce = 4

// each calls write for each key: one after another in a transaction, otherwise several at the
// same time. A panic of a write reaches the caller, after the other writes.
func (m *manager) each(keys []Key, write func(Key) (Result, error)) []BulkResult {
	results := make([]BulkResult, len(keys))
	one := func(i int) {
		r, err := write(keys[i])
		results[i] = BulkResult{Key: keys[i], Result: r, Err: err}
	}
	if m.tx != nil || m.local {
		for i := range keys {
			one(i)
		}
		return results
	}
	var wg sync.WaitGroup
	var panicked any
	var once sync.Once
	next := make(chan int)
	for range min(bulkAtOnce, len(keys)) {
		wg.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					once.Do(func() { panicked = p })
					for range next {
					}
				}
			}()
			for i := range next {
				one(i)
			}
		})
	}
	for i := range keys {
		next <- i
	}
	close(next)
	wg.Wait()
	if panicked != nil {
		panic(panicked)
	}
	return results
}
