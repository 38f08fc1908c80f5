package memory

import (
	"slices"
	"time"

	"github.com/incidentkit/incident"
)

// queue holds the undelivered activities of an incident for a notifier, a replayed
// notification, or a reminder. It exists only while it is not empty.
type queue struct {
	schedule *schedule
	key      incident.Key
	reminder *incident.Reminder // nil for activities

	spans []span  // of sequences, ascending; a reminder has the microseconds of its At
	first [1]span // initial array of spans; most queues have no gaps

	due      time.Duration
	since    time.Duration // when the head became the head; the At of a timer
	fence    int64         // of the current claim, 0 if unclaimed
	attempts int32
	replayed bool
	asleep   bool // a timer in schedule.asleep
	ready    bool // in schedule.ready, else in schedule.waiting, unless it is asleep

	older, newer *queue // neighbors in order of since, unless it is a timer
}

// span is a range of sequences. A queue has several if activities came between that are not
// queued for the notifier.
type span struct{ first, last int64 }

func (s span) length() int64 { return s.last - s.first + 1 }

// queueName identifies the queue of an incident for a notifier within its organization.
type queueName struct {
	schedule   *schedule
	identifier int64
}

// replayedName identifies a replayed activity within its organization.
type replayedName struct {
	queueName
	sequence int64
}

func newQueue(b *schedule, key incident.Key, s span) *queue {
	q := &queue{schedule: b, key: key}
	q.spans = append(q.first[:0], s)
	return q
}

func (q *queue) head() int64 { return q.spans[0].first }

// isTimer reports whether the queue is a reminder that was not replayed.
func (q *queue) isTimer() bool { return q.reminder != nil && !q.replayed }

// reminderName returns the name of the reminder, or "" for activities.
func (q *queue) reminderName() string {
	if q.reminder == nil {
		return ""
	}
	return q.reminder.Name
}

// more reports whether an activity is queued behind the head.
func (q *queue) more() bool { return len(q.spans) > 1 || q.spans[0].first < q.spans[0].last }

func (q *queue) length() (n int64) {
	for _, s := range q.spans {
		n += s.length()
	}
	return n
}

func (q *queue) name() queueName { return queueName{q.schedule, q.key.Identifier} }

// position returns the position that the head has once it is parked.
func (q *queue) position() incident.ParkedPosition {
	return incident.ParkedPosition{Identifier: q.key.Identifier, Reminder: q.reminderName(), Sequence: q.head()}
}

func (q *queue) extend(s span) {
	tail := &q.spans[len(q.spans)-1]
	if tail.last+1 == s.first {
		tail.last = s.last
	} else {
		q.spans = append(q.spans, s)
	}
}

// truncate undoes the last extend, whose span began with a sequence.
func (q *queue) truncate(sequence int64) {
	tail := &q.spans[len(q.spans)-1]
	if tail.first >= sequence {
		q.spans = q.spans[:len(q.spans)-1]
	} else {
		tail.last = sequence - 1
	}
}

// has reports whether the queue has a sequence.
func (q *queue) has(sequence int64) bool {
	return slices.ContainsFunc(q.spans, func(s span) bool { return s.first <= sequence && sequence <= s.last })
}

// skipTo removes the sequences before the given sequence, which the queue has.
func (q *queue) skipTo(sequence int64) {
	for q.spans[0].last < sequence {
		q.spans = q.spans[1:]
	}
	q.spans[0].first = sequence
}

// addQueue adds a queue to the organization.
func (o *organization) addQueue(q *queue) {
	switch {
	case q.reminder != nil:
		if o.reminders == nil {
			o.reminders = newTree(byReminder)
		}
		o.reminders.Set(q)
	case q.replayed:
		if o.replayed == nil {
			o.replayed = map[replayedName]*queue{}
		}
		o.replayed[replayedName{q.name(), q.head()}] = q
	default:
		if o.queues == nil {
			o.queues = map[queueName]*queue{}
		}
		o.queues[q.name()] = q
	}
}

// removeQueue undoes addQueue.
func (o *organization) removeQueue(q *queue) {
	switch {
	case q.reminder != nil:
		o.reminders.Delete(q)
	case q.replayed:
		delete(o.replayed, replayedName{q.name(), q.head()})
	default:
		delete(o.queues, q.name())
	}
}

// queue returns the queue of a ticket of a notifier, or nil if there is none. A timer is found by
// its name, whatever its notifier.
func (o *organization) queue(b *schedule, t *incident.Ticket) *queue {
	switch name := (queueName{b, t.Key.Identifier}); {
	case t.Reminder != "":
		return o.reminder(b, t.Key, incident.ParkedPosition{Reminder: t.Reminder, Sequence: t.Sequence}, t.Replayed)
	case t.Replayed:
		return o.replayed[replayedName{name, t.Sequence}]
	default:
		return o.queues[name]
	}
}
