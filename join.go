package incident

import (
	"context"
	"reflect"
	"sync"
	"time"
)

// JoinedStore is what a [Store] is in addition if it can be a part of a transaction that
// the host began. [Manager.Join] takes one that is.
type JoinedStore interface {
	Store

	// JoinedTo returns the store that this one was made from to be a part of a host's
	// transaction, and nil if it is a part of none. The answer is constant.
	JoinedTo() Store
}

// joinDoubt is how long what a joined Manager wrote is in doubt after the host said that
// its transaction has ended: the reply to its commit may have been lost.
const joinDoubt = 5 * time.Second

// joint is what the host's transaction of a joined Manager has changed. Nobody tells when
// the host commits, so each key is in doubt from before its first write on, and not just
// from the end: the first read that shows what was written settles it.
type joint struct {
	mu     sync.Mutex // guards what is below: the host may end it from any goroutine
	doubts map[string]*doubt
	ended  bool
}

// mark puts a key in doubt, before it is written.
func (j *joint) mark(c *coherence, key string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	d := j.doubts[key]
	if d == nil {
		d = &doubt{key: key, joint: true}
		if j.doubts == nil {
			j.doubts = map[string]*doubt{}
		}
		j.doubts[key] = d
	}
	life := doubtLife
	if j.ended {
		life = joinDoubt
	}
	d.until.Store(int64(c.now() + life))
	d.setFloor(c, never)
	c.raise(context.Background(), key, d)
}

// wrote notes the version that a key has if the host commits. The transaction has it locked,
// so that nobody else can write it before the end.
func (j *joint) wrote(c *coherence, key string, version int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if d := j.doubts[key]; d != nil {
		d.setFloor(c, version)
	}
}

func (d *doubt) setFloor(c *coherence, version int64) {
	s := c.stripe(d.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	d.floor = version
	d.settled.Store(false)
}

// end is called when the host's transaction has ended.
func (j *joint) end(c *coherence) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ended = true
	for _, d := range j.doubts {
		d.endBy(c.now() + joinDoubt)
	}
}

func (m *manager) Join(store Store) (Manager, func(), error) {
	if err := m.joinable(store); err != nil {
		return nil, nil, wrap(err, "join")
	}
	p := m.coherence.begin()
	p.joint = &joint{}
	tx := &transaction{publication: &p, joint: p.joint}
	done := sync.OnceFunc(func() {
		tx.ended.Store(true)
		tx.joint.end(m.coherence)
		if tx.queued.Load() {
			m.queued()
		}
	})
	return &manager{core: m.core, store: store, tx: tx}, done, nil
}

// joinable refuses a store that the Manager cannot join.
func (m *manager) joinable(store Store) error {
	switch {
	case m.tx != nil:
		return invalid("tx", "is a transaction already; call Join of the Manager itself")
	case store == nil:
		return invalid("store", "is required: what the store's own Join returns")
	}
	joined, ok := store.(JoinedStore)
	if !ok || joined.JoinedTo() == nil {
		return invalid("store", "is not joined to a transaction of the host's; pass what its Join returns")
	}
	if origin := joined.JoinedTo(); !reflect.TypeOf(origin).Comparable() || origin != m.store {
		return invalid("store", "was joined from another store than that of the Manager; call Join of the store that was passed to New")
	}
	return nil
}

// savepoint runs fn as a part of the host's transaction that can be undone alone.
func (m *manager) savepoint(ctx context.Context, fn func(tx Manager) error) error {
	part := &transaction{publication: m.tx.publication, joint: m.tx.joint, part: true}
	var fnErr error
	err := m.store.InTx(ctx, func(store Store) error {
		defer part.ended.Store(true)
		if fnErr = fn(&manager{core: m.core, store: store, tx: part}); fnErr != nil {
			return fnErr
		}
		return part.failure
	})
	if err == nil && part.queued.Load() {
		m.tx.queued.Store(true)
	}
	if fnErr != nil {
		return fnErr
	}
	return wrap(err, "transaction")
}
