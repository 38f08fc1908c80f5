package memory

import (
	"time"

	"github.com/incidentkit/incident"
)

// queue is what is still to be delivered of an incident, or one notification that was
// parked and replayed. It exists only while there is something in it.
type queue struct {
	key      incident.Key
	replayed bool

	spans []span  // of sequences, in order
	first [1]span // where spans begins: most queues have no gaps

	due      time.Duration
	since    time.Duration // since when its head is the head
	attempts int
	fence    int64 // of the claim; 0 while there is none
	ready    bool  // it is in the tree of those that are due

	older, newer *queue // neighbors in the order of since
}

// span is a run of sequences. A queue has several when changes that are not told of
// came between those that are.
type span struct{ first, last int64 }

// queueName names a queue within its organization. Of an incident's own, replayed is
// 0, and else it is the sequence of the notification.
type queueName struct{ identifier, replayed int64 }

func newQueue(key incident.Key, s span) *queue {
	q := &queue{key: key}
	q.spans = append(q.first[:0], s)
	return q
}

func (q *queue) head() int64 { return q.spans[0].first }

// more reports whether there is something behind the head.
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
