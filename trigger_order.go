package incident

import (
	"time"

	"github.com/google/uuid"
)

// event is the place of a firing or a resolution in the order of events.
type event struct {
	// date is when it happened, never after now. named is the same, except that the caller
	// may have named a time ahead of now.
	date, named time.Time

	now   time.Time
	dated bool // the caller named the date
}

// eventAt validates the date of an event. The zero time is no date.
func eventAt(date, now time.Time) (event, error) {
	named, err := checkDate("date", date, now, now)
	return event{date: earlier(named, now), named: named, now: now, dated: !date.IsZero()}, err
}

// follow is the rule for the order of a trigger's events. known is the DateModified of the
// trigger. follow returns the date of the trigger after the event, and false if the event is
// outdated.
//
// A known date ahead of now comes from a clock that runs ahead. It outdates no event, and stays,
// so that dates never go back.
func (e *event) follow(known time.Time) (time.Time, bool) {
	switch {
	case !e.date.Before(known):
		return e.date, true
	case !e.dated || known.After(e.now):
		return known, true
	}
	return known, false
}

// isBehind reports whether the event depends on a date ahead of now: one that its trigger knows,
// or the end of the slot's last incident.
//
// The clock is read before the view. Another call may have written meanwhile, and its dates are
// then ahead of now, although no clock is. An outdated event would be accepted. So the event
// has to be decided again, with a time that is read after the view: see advance.
func (e *event) isBehind(v *view, id TriggerID) bool {
	s := v.state
	if s == nil {
		s = v.last
	}
	if !e.dated || s == nil {
		return false
	}
	if ended := s.Incident.DateClosed; ended != nil && ended.After(e.now) {
		return true
	}
	i, found := findTrigger(s.Triggers, id)
	return found && s.Triggers[i].DateModified.After(e.now)
}

// advance moves now forward.
func (e *event) advance(now time.Time) {
	e.now = later(e.now, now)
	e.date = earlier(e.named, e.now)
}

// outdates reports whether a firing in a free slot is older than what the last incident of the
// slot knows, so that it opens nothing. There are three cases:
//
//   - The firing has opened that incident.
//   - Its date is within the time of the closed incident, and is not the start of an episode. An
//     end ahead of now covers nothing.
//   - It is outdated for its trigger.
func (s *State) outdates(f *Firing, e *event) bool {
	inc := &s.Incident
	if f.DetectionUUID != uuid.Nil && f.DetectionUUID == inc.DetectionUUID {
		return true
	}
	if !e.dated || inc.DateClosed == nil {
		return false
	}
	if !f.Episode && !inc.DateClosed.After(e.now) && !e.date.Before(inc.DateStarted) && e.date.Before(*inc.DateClosed) {
		return true
	}
	i, found := findTrigger(s.Triggers, f.TriggerID)
	if !found {
		return false
	}
	_, ok := e.follow(s.Triggers[i].DateModified)
	return !ok
}

// lastModified returns the latest DateModified of the triggers, at most now.
func (s *State) lastModified(now time.Time) time.Time {
	var last time.Time
	for i := range s.Triggers {
		last = later(last, s.Triggers[i].DateModified)
	}
	return earlier(last, now)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
