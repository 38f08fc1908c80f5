package memory

import (
	"cmp"
	"math"
	"time"

	"github.com/tidwall/btree"
)

// byOrganization orders queues by organization, and within each by due.
func byOrganization(a, b *queue) bool {
	if a.key.OrganizationID != b.key.OrganizationID {
		return a.key.OrganizationID < b.key.OrganizationID
	}
	return byDue(a, b)
}

// byDue orders the queues of all organizations by due.
func byDue(a, b *queue) bool {
	c := cmp.Compare(a.due, b.due)
	if c == 0 {
		c = cmp.Compare(a.key.OrganizationID, b.key.OrganizationID)
	}
	if c == 0 {
		c = cmp.Compare(a.key.Identifier, b.key.Identifier)
	}
	if c == 0 {
		c = cmp.Compare(a.head(), b.head()) // a replayed sequence is not in the incident's own queue
	}
	return c < 0
}

// outbox schedules the queues of all organizations.
type outbox struct {
	start time.Time // origin of all times; they are durations since start

	// A due queue is in ready, by organization; any other is in waiting, by the time when
	// it becomes due. A claim visits only ready queues. Queues that have become due move
	// from waiting to ready at the next claim. A claimed queue is due when its lease
	// expires.
	ready, waiting *btree.BTreeG[*queue]

	oldest, newest *queue // ends of the list in order of since

	pending, parked int64
	fence           int64 // of the latest claim
}

func newOutbox() outbox {
	return outbox{start: time.Now(), ready: newTree(byOrganization), waiting: newTree(byDue)}
}

// now uses the monotonic clock: setting the machine's clock does not affect it.
func (b *outbox) now() time.Duration { return time.Since(b.start) }

// after returns now + d, or the greatest duration instead of an overflow.
func after(now, d time.Duration) time.Duration {
	if d > math.MaxInt64-now {
		return math.MaxInt64
	}
	return now + d
}

// open adds a queue. Its head is due at once.
func (b *outbox) open(o *organization, q *queue) {
	if o.queues == nil {
		o.queues = map[queueName]*queue{}
	}
	o.queues[q.name()] = q
	b.pending += q.length()
	q.due = b.now()
	b.schedule(q, q.due)
	b.link(q, q.due)
}

// shut removes a queue that is empty, or undoes open.
func (b *outbox) shut(o *organization, q *queue) {
	delete(o.queues, q.name())
	b.pending -= q.length()
	b.unschedule(q)
	b.unlink(q)
}

// advance removes the head after its delivery or parking. The next activity is due at
// once.
func (b *outbox) advance(o *organization, q *queue, now time.Duration) {
	if !q.more() {
		b.shut(o, q)
		return
	}
	b.unschedule(q)
	b.pending--
	if s := &q.spans[0]; s.first < s.last {
		s.first++
	} else {
		q.spans = q.spans[1:]
	}
	q.due, q.attempts, q.fence = now, 0, 0
	b.schedule(q, now)
	b.unlink(q)
	b.link(q, now)
}

// delay changes when the queue is due.
func (b *outbox) delay(q *queue, due, now time.Duration) {
	b.unschedule(q)
	q.due = due
	b.schedule(q, now)
}

func (b *outbox) schedule(q *queue, now time.Duration) {
	if q.ready = q.due <= now; q.ready {
		b.ready.Set(q)
	} else {
		b.waiting.Set(q)
	}
}

func (b *outbox) unschedule(q *queue) {
	if q.ready {
		b.ready.Delete(q)
	} else {
		b.waiting.Delete(q)
	}
}

// wake moves queues that have become due from waiting to ready.
func (b *outbox) wake(now time.Duration) {
	for {
		q, ok := b.waiting.Min()
		if !ok || q.due > now {
			return
		}
		b.unschedule(q)
		b.schedule(q, now)
	}
}

// link appends the queue to the list in order of since, as the newest.
func (b *outbox) link(q *queue, now time.Duration) {
	q.since, q.older = now, b.newest
	if b.newest != nil {
		b.newest.newer = q
	} else {
		b.oldest = q
	}
	b.newest = q
}

// unlink undoes link.
func (b *outbox) unlink(q *queue) {
	if q.older != nil {
		q.older.newer = q.newer
	} else {
		b.oldest = q.newer
	}
	if q.newer != nil {
		q.newer.older = q.older
	} else {
		b.newest = q.older
	}
	q.older, q.newer = nil, nil
}
