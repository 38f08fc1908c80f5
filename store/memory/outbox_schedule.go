package memory

import (
	"cmp"
	"sort"
	"time"

	"github.com/tidwall/btree"

	"github.com/incidentkit/incident"
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
	if a.due != b.due {
		return a.due < b.due
	}
	return a.compareNames(b) < 0
}

// bySince orders timers by the time when they are due first.
func bySince(a, b *queue) bool {
	if a.since != b.since {
		return a.since < b.since
	}
	return a.compareNames(b) < 0
}

// compareNames returns 0 only for the same queue of a schedule. A replayed sequence is not in the
// incident's own queue.
func (q *queue) compareNames(other *queue) int {
	c := cmp.Compare(q.key.OrganizationID, other.key.OrganizationID)
	if c == 0 {
		c = cmp.Compare(q.key.Identifier, other.key.Identifier)
	}
	if c == 0 {
		c = cmp.Compare(q.head(), other.head())
	}
	if c == 0 {
		c = cmp.Compare(q.reminderName(), other.reminderName())
	}
	if c == 0 && q.replayed != other.replayed {
		c = 1
		if other.replayed {
			c = -1
		}
	}
	return c
}

// schedule holds the queues and the parked notifications of a notifier.
type schedule struct {
	notifier string

	// A due queue is in ready, by organization; any other is in waiting, by the time when
	// it becomes due. A claim visits only ready queues. Queues that have become due move
	// from waiting to ready at the next claim. A claimed queue is due when its lease
	// expires.
	//
	// A timer is in asleep until the first claim after its At, so that the many that are not
	// due do not slow down the changes of waiting.
	ready, waiting, asleep *btree.BTreeG[*queue]

	// Timers become due without a call, so they are counted by their time. The other queues
	// are in a list in order of since.
	awake          *btree.BTreeG[*queue] // the timers that are not asleep, by since
	oldest, newest *queue                // ends of the list
	pending        int64                 // notifications of the queues in the list

	parked *btree.BTreeG[parked]
}

func newSchedule(notifier string) *schedule {
	return &schedule{
		notifier: notifier,
		ready:    newTree(byOrganization),
		waiting:  newTree(byDue),
		asleep:   newTree(bySince),
		awake:    newTree(bySince),
		parked:   newTree(parked.less),
	}
}

// open adds a queue.
func (b *schedule) open(o *organization, q *queue, due, now time.Duration) {
	q.due, q.since = due, due
	q.asleep = q.isTimer() && due > now
	q.ready = due <= now
	q.older, q.newer = b.newest, nil
	b.reopen(o, q)
}

// shut removes a queue, or undoes open.
func (b *schedule) shut(o *organization, q *queue) {
	o.removeQueue(q)
	b.remove(q)
	switch {
	case q.asleep:
	case q.isTimer():
		b.awake.Delete(q)
	default:
		b.pending -= q.length()
		b.unlink(q)
	}
}

// reopen undoes the latest shut that was not undone.
func (b *schedule) reopen(o *organization, q *queue) {
	o.addQueue(q)
	b.tree(q).Set(q)
	switch {
	case q.asleep:
	case q.isTimer():
		b.awake.Set(q)
	default:
		b.pending += q.length()
		b.relink(q)
	}
}

// advance removes the head after its delivery or parking. The next activity is due at
// once.
func (b *schedule) advance(o *organization, q *queue, now time.Duration) {
	if !q.more() {
		b.shut(o, q)
		return
	}
	next := q.spans[0].first + 1
	if next > q.spans[0].last {
		next = q.spans[1].first
	}
	b.skipTo(q, next, now)
}

// skipTo removes the activities before a sequence of the queue, which then is due at once.
func (b *schedule) skipTo(q *queue, sequence int64, now time.Duration) {
	b.remove(q)
	before := q.length()
	q.skipTo(sequence)
	b.pending -= before - q.length()
	q.due, q.since, q.attempts, q.fence = now, now, 0, 0
	b.insert(q, now)
	b.unlink(q)
	b.link(q)
}

// delay changes when the queue is due.
func (b *schedule) delay(q *queue, due, now time.Duration) {
	b.remove(q)
	q.due = due
	b.insert(q, now)
}

// insert adds the queue, which is not asleep, to ready or waiting.
func (b *schedule) insert(q *queue, now time.Duration) {
	q.ready = q.due <= now
	b.tree(q).Set(q)
}

// remove undoes insert.
func (b *schedule) remove(q *queue) { b.tree(q).Delete(q) }

func (b *schedule) tree(q *queue) *btree.BTreeG[*queue] {
	switch {
	case q.asleep:
		return b.asleep
	case q.ready:
		return b.ready
	}
	return b.waiting
}

// any returns a queue, or nil if there is none.
func (b *schedule) any() *queue {
	for _, tree := range []*btree.BTreeG[*queue]{b.ready, b.waiting, b.asleep} {
		if q, ok := tree.Min(); ok {
			return q
		}
	}
	return nil
}

// wake moves queues that have become due to ready.
func (b *schedule) wake(now time.Duration) {
	for q, ok := b.asleep.Min(); ok && q.since <= now; q, ok = b.asleep.Min() {
		b.remove(q)
		q.asleep = false
		b.insert(q, now)
		b.awake.Set(q)
	}
	for q, ok := b.waiting.Min(); ok && q.due <= now; q, ok = b.waiting.Min() {
		b.remove(q)
		b.insert(q, now)
	}
}

// backlog counts the notifications of the notifier.
func (b *schedule) backlog(now time.Duration) incident.Backlog {
	due := sort.Search(b.asleep.Len(), func(i int) bool {
		q, _ := b.asleep.GetAt(i)
		return q.since > now
	})
	n := incident.Backlog{
		Pending:   b.pending + int64(b.awake.Len()+due),
		Parked:    int64(b.parked.Len()),
		Reminders: int64(b.asleep.Len() - due),
	}
	first, _ := b.awake.Min()
	sleeper, _ := b.asleep.Min()
	for _, q := range []*queue{b.oldest, first, sleeper} {
		if q != nil {
			n.Oldest = max(n.Oldest, now-q.since)
		}
	}
	return n
}

// link appends the queue to the list in order of since, as the newest.
func (b *schedule) link(q *queue) {
	q.older, q.newer = b.newest, nil
	b.relink(q)
}

// relink undoes unlink. The queue still has its neighbors of then.
func (b *schedule) relink(q *queue) {
	if q.older != nil {
		q.older.newer = q
	} else {
		b.oldest = q
	}
	if q.newer != nil {
		q.newer.older = q
	} else {
		b.newest = q
	}
}

// unlink undoes link.
func (b *schedule) unlink(q *queue) {
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
}
