package incident

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
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

// each calls write for each key: one after another in a transaction and for a local store,
// otherwise several at the same time. If a write panics or ends its goroutine, because code of
// the host does, no further write begins. When the writes in progress have ended, the caller's
// goroutine panics with the same value, or ends.
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
	var taken atomic.Int64 // keys
	broken := make(chan any, bulkAtOnce)
	for range min(bulkAtOnce, len(keys)) {
		wg.Go(func() {
			returned := false
			defer func() {
				if !returned {
					taken.Store(int64(len(keys)))
					broken <- recover() // nil after runtime.Goexit
				}
			}()
			for i := int(taken.Add(1)); i <= len(keys); i = int(taken.Add(1)) {
				one(i - 1)
			}
			returned = true
		})
	}
	wg.Wait()
	select {
	case p := <-broken:
		if p == nil {
			runtime.Goexit()
		}
		panic(p)
	default:
		return results
	}
}
