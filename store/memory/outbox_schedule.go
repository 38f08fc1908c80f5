package memory

import (
	"cmp"
	"math"
	"time"

	"github.com/tidwall/btree"
)

// byOrganization orders queues as a claim goes through them.
func byOrganization(a, b *queue) bool {
	if a.key.OrganizationID != b.key.OrganizationID {
		return a.key.OrganizationID < b.key.OrganizationID
	}
	return byDue(a, b)
}

// byDue orders queues of all organizations.
func byDue(a, b *queue) bool {
	c := cmp.Compare(a.due, b.due)
	if c == 0 {
		c = cmp.Compare(a.key.OrganizationID, b.key.OrganizationID)
	}
	if c == 0 {
		c = cmp.Compare(a.key.Identifier, b.key.Identifier)
	}
	if c == 0 {
		c = cmp.Compare(a.head(), b.head()) // a replayed one is not in the incident's own
	}
	return c < 0
}

// outbox is the queues of all organizations, by when they are due. A queue that is
// claimed is due when its lease is over.
type outbox struct {
	start time.Time // what times count from

	// ready holds what is due, by organization, and waiting what is due later, by time.
	// So a claim finds something to claim wherever it looks. What has become due moves
	// over when the next claim comes.
	ready, waiting *btree.BTreeG[*queue]

	oldest, newest *queue // by since

	pending, parked int64
	fence           int64 // of the latest claim
}

func newOutbox() outbox {
	return outbox{start: time.Now(), ready: newTree(byOrganization), waiting: newTree(byDue)}
}

// now does not go back when the clock of the machine is set.
func (b *outbox) now() time.Duration { return time.Since(b.start) }

// after is a time later by d, or the end of time.
func after(now, d time.Duration) time.Duration {
	if d > math.MaxInt64-now {
		return math.MaxInt64
	}
	return now + d
}

// open makes a queue known, whose head is due.
func (b *outbox) open(o *organization, q *queue) {
	if o.queues == nil {
		o.queues = map[queueName]*queue{}
	}
	o.queues[q.name()] = q
	b.pending += q.length()
	q.due = b.now()
	b.schedule(q, q.due)
	b.begin(q, q.due)
}

// shut undoes open, and is the end of an empty queue.
func (b *outbox) shut(o *organization, q *queue) {
	delete(o.queues, q.name())
	b.pending -= q.length()
	b.unschedule(q)
	b.unlink(q)
}

// next has the queue go on behind its head, which is delivered or parked.
func (b *outbox) next(o *organization, q *queue, now time.Duration) {
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
	b.begin(q, now)
}

// delay makes the queue due at another time.
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

// wake moves what has become due.
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

// begin notes since when the head is the head: it is the latest that has become one.
func (b *outbox) begin(q *queue, now time.Duration) {
	q.since, q.older = now, b.newest
	if b.newest != nil {
		b.newest.newer = q
	} else {
		b.oldest = q
	}
	b.newest = q
}

// unlink undoes begin.
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
