package memory

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// activity is an [incident.Activity] without its Key and Sequence: the index implies
// both. Times are in microseconds.
type activity struct {
	actor                  string // a user or, if byTrigger is set, a trigger
	comment                string
	more                   *activityFields // nil for most activities
	notification           uuid.UUID
	added, edited, deleted int64 // edited and deleted may be never
	revision               int64
	kind, value, previous  int16
	byTrigger              bool
}

// activityFields are the fields that most activities lack.
type activityFields struct {
	trigger           incident.TriggerID // if the activity also has a user
	field, from, into string
}

// never stands for a nil time. No valid time has this value.
const never = math.MinInt64

// set makes stored the stored form of a.
func (stored *activity) set(a *incident.Activity) {
	*stored = activity{
		actor:        string(a.UserID),
		comment:      a.Comment,
		notification: a.NotificationUUID,
		added:        a.DateAdded.UnixMicro(),
		edited:       microOf(a.DateEdited),
		deleted:      microOf(a.DateDeleted),
		revision:     a.Revision,
		kind:         int16(a.Type),
		value:        int16(a.Value),
		previous:     int16(a.PreviousValue),
	}
	var both incident.TriggerID
	if a.UserID == "" && a.TriggerID != "" {
		stored.actor, stored.byTrigger = string(a.TriggerID), true
	} else {
		both = a.TriggerID
	}
	if both != "" || a.Field != "" || a.Old != "" || a.New != "" {
		stored.more = &activityFields{trigger: both, field: a.Field, from: a.Old, into: a.New}
	}
}

// activity returns the activity with the given sequence. It must exist.
func (r *record) activity(sequence int64) incident.Activity {
	stored := &r.activities[sequence-1]
	a := incident.Activity{
		Incident:         r.incident.Key(),
		Sequence:         sequence,
		Type:             incident.ActivityType(stored.kind),
		Value:            incident.Status(stored.value),
		PreviousValue:    incident.Status(stored.previous),
		Comment:          stored.comment,
		NotificationUUID: stored.notification,
		DateAdded:        timeOf(stored.added),
		DateEdited:       optionalTimeOf(stored.edited),
		DateDeleted:      optionalTimeOf(stored.deleted),
		Revision:         stored.revision,
	}
	if stored.byTrigger {
		a.TriggerID = incident.TriggerID(stored.actor)
	} else {
		a.UserID = incident.UserID(stored.actor)
	}
	if m := stored.more; m != nil {
		a.Field, a.Old, a.New = m.field, m.from, m.into
		if m.trigger != "" {
			a.TriggerID = m.trigger
		}
	}
	return a
}

// appendStored appends the stored forms of activities.
func appendStored(to []activity, activities []incident.Activity) []activity {
	to = slices.Grow(to, len(activities))[:len(activities)]
	for i := range activities {
		to[i].set(&activities[i])
	}
	return to
}

// appendActivities returns the sequence of the first appended activity, or 0 if there is
// none.
func (s *Store) appendActivities(o *organization, r *record, activities []activity) int64 {
	if len(activities) == 0 {
		return 0
	}
	from := int64(len(r.activities)) + 1
	if r.activities == nil {
		r.activities = r.firstActivities[:0]
	}
	r.activities = append(r.activities, activities...)
	o.indexUUIDs(r, from)
	o.listAcknowledgement(r, from)
	if s.inTx() {
		s.undo(func() {
			o.unindexUUIDs(r, from)
			o.unlistAcknowledgement(r, from)
			clear(r.activities[from-1:])
			r.activities = r.activities[:from-1]
			r.dropFormerArray()
		})
	}
	return from
}

// dropFormerArray clears the initial array of activities if it is no longer in use, so that no ID
// of an erased user remains in memory.
func (r *record) dropFormerArray() {
	if cap(r.activities) > len(r.firstActivities) {
		r.firstActivities = [3]activity{}
	}
}

// Activities implements [incident.ActivityStore].
func (s *Store) Activities(ctx context.Context, key incident.Key, q incident.ActivityQuery) (log incident.ActivityLog, err error) {
	err = s.withRecord(ctx, key, scan, func(r *record) {
		log.Version = r.incident.Version
		last := int64(len(r.activities))
		step, next := int64(1), q.After+1
		if q.Descending {
			step, next = -1, min(q.After-1, last)
			if q.After == 0 {
				next = last
			}
		}
		size := last - next + 1
		if q.Descending {
			size = next
		}
		log.Activities = make([]incident.Activity, 0, max(0, min(size, int64(q.Limit))))
		for ; next >= 1 && next <= last && len(log.Activities) < q.Limit; next += step {
			log.Activities = append(log.Activities, r.activity(next))
		}
	})
	return log, err
}

// Activity implements [incident.ActivityStore].
func (s *Store) Activity(ctx context.Context, key incident.Key, sequence int64) (a incident.Activity, err error) {
	found := false
	err = s.withRecord(ctx, key, scan, func(r *record) {
		if found = sequence >= 1 && sequence <= int64(len(r.activities)); found {
			a = r.activity(sequence)
		}
	})
	if err == nil && !found {
		err = fmt.Errorf("memory: %w", incident.ErrNotFound)
	}
	return a, err
}

// ReviseActivity implements [incident.ActivityStore].
func (s *Store) ReviseActivity(ctx context.Context, a incident.Activity) error {
	var refused error
	err := s.withRecord(ctx, a.Incident, write, func(r *record) {
		if a.Sequence < 1 || a.Sequence > int64(len(r.activities)) {
			refused = fmt.Errorf("memory: %w", incident.ErrNotFound)
			return
		}
		stored := &r.activities[a.Sequence-1]
		if stored.revision != a.Revision-1 {
			refused = fmt.Errorf("memory: %w", incident.ErrVersionConflict)
			return
		}
		before := *stored
		stored.comment, stored.revision = a.Comment, a.Revision
		stored.edited, stored.deleted = microOf(a.DateEdited), microOf(a.DateDeleted)
		s.undo(func() { r.activities[a.Sequence-1] = before })
	})
	return cmp.Or(err, refused)
}

func microOf(t *time.Time) int64 {
	if t == nil {
		return never
	}
	return t.UnixMicro()
}

func timeOf(micro int64) time.Time { return time.UnixMicro(micro).UTC() }

func optionalTimeOf(micro int64) *time.Time {
	if micro == never {
		return nil
	}
	t := timeOf(micro)
	return &t
}
