package incident

import (
	"context"
	"slices"
	"time"
)

// publication is one write on its way, or one transaction: what it marked, and
// what it puts into the cache after its commit. Each key that it marked is published at
// its end, or emptied, or in doubt. It is for one goroutine.
type publication struct {
	c       *coherence
	g       *generation
	began   uint64 // the number of the last publication before
	marked  []mark
	created int32 // how many new incidents may be among the entries
	entries []publishedEntry

	// doubtful means that the outcome of the write is not known. It is so until
	// the store answered.
	doubtful bool

	// joint is not nil in a host's transaction, whose end the host tells, if anybody. Its keys
	// are in doubt from the start, and nothing of it is published.
	joint *joint

	// distrusted means that the history in which it began has ended.
	distrusted bool
}

// mark is a key that a write takes out of service.
type mark struct {
	key  string
	kind markKind

	// expected is the version of the incident that the write applies to.
	expected int64
}

// markKind says what the write of a key depends on.
type markKind int

const (
	incidentMark markKind = iota // on the version of the incident, whose key it is
	slotMark                     // on that of the incident that was marked last
	claimMark                    // on whether the slot is free, which a new incident claims
)

type publishedEntry struct {
	key   string
	entry CacheEntry
	ttl   time.Duration
}

// begin starts a publication, before its write is applied.
func (c *coherence) begin() publication {
	return publication{c: c, g: c.generation.Load(), began: c.published.Load(), doubtful: true}
}

// markChange marks what a change may be about, but for what a local store is asked.
func (p *publication) markChange(c *Change, local bool) {
	if p.idle() {
		return
	}
	slots := claimMark
	switch {
	case c.Key.Identifier == 0 && (local || p.joint != nil): // it publishes no new incident
	case c.Key.Identifier == 0:
		p.c.creating.Add(1)
		p.created++
	default:
		p.mark(mark{key: c.Key.cacheKey(), kind: incidentMark, expected: c.ExpectVersion})
		slots = slotMark
	}
	if local {
		return
	}
	for _, s := range c.Claim {
		p.mark(mark{key: s.cacheKey(), kind: slots})
	}
	for _, s := range c.Release {
		p.mark(mark{key: s.cacheKey(), kind: slots})
	}
}

// mark takes a key out of service until the end of the publication.
func (p *publication) mark(m mark) {
	if p.joint != nil {
		p.joint.mark(p.c, m.key)
	} else {
		p.c.stripe(m.key).writing.Add(1)
	}
	p.marked = append(p.marked, m)
}

// idle reports whether there is no cache that would serve anything. A host's transaction may
// outlast the time until there is a feed to follow.
func (p *publication) idle() bool { return p.c.off.Load() && (p.joint == nil || !p.c.followed) }

// hasMarked reports whether the publication has marked a key.
func (p *publication) hasMarked(key string) bool {
	return slices.ContainsFunc(p.marked, func(m mark) bool { return m.key == key })
}

// addState adds the state of an incident, which must not change any more.
func (p *publication) addState(s *State, ttl time.Duration) {
	if !p.idle() {
		p.add(s.Incident.Key().cacheKey(), CacheEntry{Version: s.Incident.Version, value: s}, ttl)
	}
}

// addSlots adds who holds the slots of a change now.
func (p *publication) addSlots(c *Change, applied *Applied, ttl time.Duration) {
	if p.idle() {
		return
	}
	for _, s := range applied.Slots {
		holder := &slotHolder{}
		if slices.Contains(c.Claim, s.Slot) {
			holder.Identifier = applied.Incident.Identifier
		}
		p.add(s.Slot.cacheKey(), CacheEntry{Version: s.Version, value: holder}, ttl)
	}
}

func (p *publication) add(key string, e CacheEntry, ttl time.Duration) {
	if p.joint != nil {
		p.joint.wrote(p.c, key, e.Version)
		return
	}
	p.entries = append(p.entries, publishedEntry{key: key, entry: e, ttl: ttl})
}

// end publishes what was added, and puts the marked keys back into service. A
// write that failed has added nothing. It goes on when ctx has ended, since what
// it publishes is written.
func (p *publication) end(ctx context.Context) {
	if len(p.marked) == 0 && len(p.entries) == 0 && p.created == 0 {
		return
	}
	ctx = context.WithoutCancel(ctx)
	if p.g != p.c.generation.Load() {
		p.distrust()
	}
	if p.doubtful {
		p.raiseDoubts(ctx)
	} else {
		p.publish(ctx)
	}
	for _, m := range p.marked {
		p.c.stripe(m.key).writing.Add(-1)
	}
	p.c.creating.Add(-p.created)
	p.marked, p.created, p.entries = nil, 0, nil
}

// publish stores the entries, and empties the keys that were marked for nothing: those of
// a write that was refused, because the cache may know less than the store, and those whose
// version the store could not tell, because the reply to the write was lost.
func (p *publication) publish(ctx context.Context) {
	number := p.c.published.Add(1)
	for _, e := range p.entries {
		p.replace(e.key, number, func(s *stripe, overtaken bool) {
			s.learn(p.c.now(), e.key, e.entry)
			if overtaken || s.inDoubt(p.c.now(), e.key) {
				p.c.counters.staleDrops.Add(1)
				e.entry.value = nil // which still keeps older versions out
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
func (p *publication) published(key string) (version int64, ok bool) {
	for i := len(p.entries) - 1; i >= 0; i-- {
		if p.entries[i].key == key {
			return p.entries[i].entry.Version, true
		}
	}
	return 0, false
}

// raiseDoubts puts all that was marked in doubt. A transaction knows the versions that
// its keys have if it was committed: it had them locked, so that they settle the doubt
// either way.
func (p *publication) raiseDoubts(ctx context.Context) {
	var last *doubt // of an incident
	for _, m := range p.marked {
		version, known := p.published(m.key)
		d := last
		switch {
		case p.distrusted:
			d = p.c.newDoubt(m.key, never)
			d.endBy(p.c.now() + doubtTTL)
		case known:
			d = p.c.newDoubt(m.key, version)
		case m.kind == incidentMark:
			d = p.c.newDoubt(m.key, m.expected+1)
		case m.kind == claimMark:
			d = p.c.newDoubt(m.key, 0)
			d.earliest = p.c.now() + claimDoubt
		}
		d = p.c.raise(ctx, m.key, d)
		if m.kind == incidentMark {
			last = d
		}
	}
}

// replace runs put such that no load which began before can undo it, and says
// whether another write of the key may have been published since p began. Its
// number is later than the commits of what was published before.
func (p *publication) replace(key string, number uint64, put func(s *stripe, overtaken bool)) {
	s := p.c.stripe(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	overtaken := s.epoch > p.began && s.epoch != number
	if overtaken {
		number = p.c.published.Add(1) // not its own, so that its next entry here is overtaken too
	}
	s.epoch = number
	put(s, overtaken)
	p.c.flight.Forget(key + p.g.suffix)
}
