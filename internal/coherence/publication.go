package coherence

import (
	"context"
	"time"
)

// Publication is the cache update of a write, or of all writes of a transaction:
//
//  1. [Engine.Begin] begins it, before anything is written.
//  2. Each write marks its keys before it is applied. They are read from the store.
//  3. Each applied write adds its entries.
//  4. After the commit or rollback, Applied or Discard notes the outcome. Otherwise it is
//     unknown.
//  5. End publishes, and ends the marks.
//
// End stores the last entry of each marked key. A key without an entry is emptied. If the outcome
// is unknown, all keys are in doubt.
//
// A reader that found no mark may ask the cache as late as during End. Each entry that End stores
// is therefore a committed version.
//
// The keys of a joint publication, of a transaction of the host, are in doubt from the start
// instead. It publishes nothing, and EndJoint takes the place of End.
//
// A Publication is for one goroutine, except for EndJoint.
type Publication struct {
	c       *Engine
	g       *generation
	began   uint64 // number of the last publication before
	marked  []mark
	created int32 // new rows that may be among the entries
	entries []publishedEntry

	markOf, entryOf lastOfKey // find marks and entries by key

	unknown bool // the outcome of the write
	joint   *joint

	// distrusted means that the generation of the publication has ended.
	distrusted bool
}

// mark is a key that a write takes out of service.
type mark struct {
	key  string
	kind markKind

	// expected is the version of the row that the write applies to.
	expected int64
}

// markKind is the condition of the write of a key.
type markKind int

const (
	rowMark   markKind = iota // the row with this key has the expected version
	heldMark                  // the row that was marked last has its expected version
	claimMark                 // the slot is free, so that a new row can claim it
)

type publishedEntry struct {
	key   string
	entry Entry
	ttl   time.Duration
}

// Begin returns a Publication, whose outcome is unknown until Applied or Discard is called.
func (c *Engine) Begin() Publication {
	return Publication{c: c, g: c.generation.Load(), began: c.published.Load(), unknown: true}
}

// BeginJoint returns a Publication in a transaction of the host.
func (c *Engine) BeginJoint() *Publication {
	p := c.Begin()
	p.joint = &joint{}
	return &p
}

// Began returns the epoch at the beginning of the Publication.
func (p *Publication) Began() Epoch { return Epoch(p.began) }

// Idle reports whether marks and entries would be ignored, because nothing is cached. A
// joint Publication is not idle while a feed has no position yet, since the transaction of
// the host may outlast that.
func (p *Publication) Idle() bool {
	return p.c.off.Load() && (p.joint == nil || !p.c.followed || p.c.config.Cache == nil)
}

// MarkRow marks the key of a row. The write applies to version expected of the row only.
func (p *Publication) MarkRow(key string, expected int64) {
	if !p.Idle() {
		p.mark(mark{key: key, kind: rowMark, expected: expected})
	}
}

// MarkHeld marks the key of a slot that the row marked last claims or releases.
func (p *Publication) MarkHeld(key string) {
	if !p.Idle() {
		p.mark(mark{key: key, kind: heldMark})
	}
}

// MarkClaim marks the key of a slot that a new row claims.
func (p *Publication) MarkClaim(key string) {
	if !p.Idle() {
		p.mark(mark{key: key, kind: claimMark})
	}
}

// MarkNew notes that the write makes a row whose key is not known yet.
func (p *Publication) MarkNew() {
	if !p.Idle() && p.joint == nil {
		p.c.creating.Add(1)
		p.created++
	}
}

// mark takes a key out of service until the end of the publication.
func (p *Publication) mark(m mark) {
	if p.joint != nil {
		p.joint.mark(p.c, m.key)
	} else {
		p.c.stripe(m.key).writing.Add(1)
	}
	p.marked = append(p.marked, m)
}

// Writes reports whether the publication has marked key or added an entry of it. A read of
// such a key in the same transaction may return a version that is not committed yet.
func (p *Publication) Writes(key string) bool {
	_, added := p.published(key)
	return added || p.markOf.find(key, len(p.marked), func(i int) string { return p.marked[i].key }) >= 0
}

// Add adds an entry that was written. Its value must not change any more.
func (p *Publication) Add(key string, e Entry, ttl time.Duration) {
	switch {
	case p.Idle():
	case p.joint != nil:
		p.joint.wrote(p.c, key, e.Version)
	default:
		p.entries = append(p.entries, publishedEntry{key: key, entry: e, ttl: ttl})
	}
}

// Applied notes that the outcome is known: the added entries are committed.
func (p *Publication) Applied() { p.unknown = false }

// Discard notes that nothing was written, or that all was undone.
func (p *Publication) Discard() {
	p.unknown, p.entries, p.entryOf = false, nil, lastOfKey{}
}

// EndJoint notes that the transaction of the host has ended. It may be called in any
// goroutine, and again.
func (p *Publication) EndJoint() { p.joint.end(p.c) }

// End publishes the entries, and puts the marked keys back into service. It does so even if
// ctx has ended, since the entries are committed.
func (p *Publication) End(ctx context.Context) {
	if len(p.marked) == 0 && len(p.entries) == 0 && p.created == 0 {
		return
	}
	ctx = context.WithoutCancel(ctx)
	if p.g != p.c.generation.Load() {
		p.distrust()
	}
	if p.unknown {
		p.raiseDoubts(ctx)
	} else {
		p.publish(ctx)
	}
	for _, m := range p.marked {
		p.c.stripe(m.key).writing.Add(-1)
	}
	p.c.creating.Add(-p.created)
	p.marked, p.created, p.entries = nil, 0, nil
	p.markOf, p.entryOf = lastOfKey{}, lastOfKey{}
}

// publish stores the entries, and empties the marked keys that have none. The write of such
// a key was refused, since the cache may know less than the store, or the store could not
// tell the version because the reply to the write was lost.
func (p *Publication) publish(ctx context.Context) {
	number := p.c.published.Add(1)
	for i, e := range p.entries {
		if p.lastEntry(e.key) != i {
			continue // nobody may see a version that was true within the transaction alone
		}
		p.replace(e.key, number, func(s *stripe, overtaken bool) {
			s.learn(p.c.now(), e.key, e.entry)
			if overtaken || s.inDoubt(p.c.now(), e.key) {
				p.c.counters.staleDrops.Add(1)
				e.entry.Value = nil // the version still keeps older versions out
			}
			p.c.store(ctx, p.g, e.key, e.entry, e.ttl)
		})
	}
	for _, m := range p.marked {
		if _, published := p.published(m.key); !published {
			p.replace(m.key, number, func(*stripe, bool) { p.c.empty(ctx, p.g, m.key) })
		}
	}
}

// published returns the last version that the publication has of a key.
func (p *Publication) published(key string) (version int64, ok bool) {
	if i := p.lastEntry(key); i >= 0 {
		return p.entries[i].entry.Version, true
	}
	return 0, false
}

// lastEntry returns the index of the last entry of a key, or -1.
func (p *Publication) lastEntry(key string) int {
	return p.entryOf.find(key, len(p.entries), func(i int) string { return p.entries[i].key })
}

// replace runs put such that no load that began before can undo it. overtaken reports that
// another write of the key may have been published since p began. number is later than the
// commits of everything that was published before.
func (p *Publication) replace(key string, number uint64, put func(s *stripe, overtaken bool)) {
	s := p.c.stripe(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	overtaken := s.epoch > p.began && s.epoch != number
	if overtaken {
		number = p.c.published.Add(1) // another number, so that its next entry here is overtaken too
	}
	s.epoch = number
	put(s, overtaken)
	p.c.flight.Forget(key + p.g.suffix)
}

// raiseDoubts puts all marked keys in doubt. A transaction that had a row locked knows the
// version that the row has if it was committed, and a doubt of this version is settled
// either way.
func (p *Publication) raiseDoubts(ctx context.Context) {
	var row *doubt // of the row marked last
	for _, m := range p.marked {
		version, known := p.published(m.key)
		d := row
		switch {
		case p.distrusted:
			d = p.c.newDoubt(m.key, never)
			d.endBy(p.c.now() + doubtTTL)
		case known:
			d = p.c.newDoubt(m.key, version)
		case m.kind == rowMark:
			d = p.c.newDoubt(m.key, m.expected+1)
		case m.kind == claimMark:
			d = p.c.newDoubt(m.key, 0)
			d.earliest = p.c.now() + claimDoubt
		}
		d = p.c.raise(ctx, m.key, d)
		if m.kind == rowMark {
			row = d
		}
	}
}

// distrust moves the publication to the present generation. It publishes nothing there: all
// of its keys are in doubt.
func (p *Publication) distrust() {
	p.g = p.c.generation.Load()
	for _, e := range p.entries {
		p.mark(mark{key: e.key})
	}
	p.unknown, p.distrusted = true, true
}
