package memory

import (
	"time"

	"github.com/incidentkit/incident"
)

// queue holds the undelivered activities of an incident, or a replayed notification. It
// exists only while it is not empty.
type queue struct {
	key      incident.Key
	replayed bool

	spans []span  // of sequences, ascending
	first [1]span // initial array of spans; most queues have no gaps

	due      time.Duration
	since    time.Duration // when the head became the head
	attempts int
	fence    int64 // of the current claim, 0 if unclaimed
	ready    bool  // in outbox.ready, else in outbox.waiting

	older, newer *queue // neighbors in order of since
}

// span is a range of sequences. A queue has several if changes without Notify came
// between.
type span struct{ first, last int64 }

// queueName identifies a queue within its organization. replayed is 0 for the incident's
// own queue, else the sequence of the replayed notification.
type queueName struct{ identifier, replayed int64 }

func newQueue(key incident.Key, s span) *queue {
	q := &queue{key: key}
	q.spans = append(q.first[:0], s)
	return q
}

func (q *queue) head() int64 { return q.spans[0].first }

// more reports whether an activity is queued behind the head.
func (q *queue) more() bool { return len(q.spans) > 1 || q.spans[0].first < q.spans[0].last }

func (q *queue) length() (n int64) {
	for _, s := range q.spans {
		n += s.last - s.first + 1
	}
	return n
}

func (q *queue) name() queueName {
	if q.replayed {
		return queueName{q.key.Identifier, q.head()}
	}
	return queueName{identifier: q.key.Identifier}
}

func (q *queue) extend(s span) {
	tail := &q.spans[len(q.spans)-1]
	if tail.last+1 == s.first {
		tail.last = s.last
	} else {
		q.spans = append(q.spans, s)
	}
}

// retract undoes the last extend.
func (q *queue) retract(s span) {
	tail := &q.spans[len(q.spans)-1]
	if tail.first == s.first {
		q.spans = q.spans[:len(q.spans)-1]
	} else {
		tail.last = s.first - 1
	}
}
