package memory

import (
	"context"
	"strings"
	"time"

	"github.com/incidentkit/incident"
)

// EraseUser implements [incident.RetentionStore]. It looks for traces under the lock for reading,
// and locks writers and other readers out only for the incidents that have one.
func (s *Store) EraseUser(ctx context.Context, q incident.EraseQuery) (batch incident.EraseBatch, err error) {
	if s.inTx() {
		return batch, errRetentionInTx
	}
	traced, next, err := s.findTraces(ctx, &q)
	if err != nil || len(traced) == 0 {
		batch.Next = next
		return batch, err
	}
	if err := s.acquire(ctx, own); err != nil {
		return batch, err
	}
	defer s.release(own)
	o := s.organizations[q.OrganizationID]
	for _, identifier := range traced {
		if !o.has(identifier) {
			continue
		}
		r := o.get(identifier)
		s.eraseParked(r, q.UserID)
		if s.erase(o, r, &q) {
			batch.Changed = append(batch.Changed, incident.IncidentVersion{
				Key: r.incident.Key(), Version: r.incident.Version, Activities: int64(len(r.activities)),
			})
		}
	}
	batch.Next = next
	return batch, nil
}

// findTraces visits the next incidents of a query, and returns the identifiers of those with a
// trace of the user. next is the last visited identifier, 0 if no incident follows it.
func (s *Store) findTraces(ctx context.Context, q *incident.EraseQuery) (traced []int64, next int64, err error) {
	if err := s.acquire(ctx, scan); err != nil {
		return nil, 0, err
	}
	defer s.release(scan)
	o := s.organizations[q.OrganizationID]
	if o == nil {
		return nil, 0, nil
	}
	visited, left := 0, 4*batchWeight // to look is cheaper than to write
	for identifier := o.following(q.After); identifier != 0; identifier = o.following(identifier) {
		if visited == q.Limit || left <= 0 {
			return traced, next, nil
		}
		r := o.get(identifier)
		if s.isTraced(o, r, q.UserID) {
			traced = append(traced, identifier)
			left -= 4 * o.weight(r)
		}
		visited, left, next = visited+1, left-o.weight(r), identifier
	}
	return traced, 0, nil
}

// following returns the next identifier of an incident, or 0 if there is none.
func (o *organization) following(identifier int64) int64 {
	for i := o.records.next(int(identifier)); i < o.records.length; i = o.records.next(i + 1) {
		if o.records.at(i).incident.Identifier != 0 {
			return int64(i) + 1
		}
	}
	return 0
}

// isTraced reports whether an incident names the user.
func (s *Store) isTraced(o *organization, r *record, user incident.UserID) bool {
	_, seen := o.viewersOf(r).find(user)
	_, subscribed := r.subscribers.find(user)
	response := r.incident.Response
	if seen || subscribed || response != nil && (response.Assignee == user || response.AcknowledgedBy == user) {
		return true
	}
	for i := range r.activities {
		if r.activities[i].names(user) {
			return true
		}
	}
	for _, b := range s.outbox.schedules {
		for _, p := range b.parkedOf(r.incident.Key()) {
			if strings.Contains(p.failure, string(user)) {
				return true
			}
		}
	}
	return false
}

// fieldAssignee is the Field of activities whose Old and New are users.
const fieldAssignee = "assignee"

func (stored *activity) names(user incident.UserID) bool {
	m := stored.more
	return !stored.byTrigger && stored.actor == string(user) ||
		m != nil && m.field == fieldAssignee && (m.from == string(user) || m.into == string(user))
}

func (o *organization) viewersOf(r *record) *viewers {
	return o.viewers.at(int(r.incident.Identifier) - 1)
}

// eraseParked empties the errors of parked notifications that contain the user's ID.
func (s *Store) eraseParked(r *record, user incident.UserID) {
	for _, b := range s.outbox.schedules {
		for _, p := range b.parkedOf(r.incident.Key()) {
			if strings.Contains(p.failure, string(user)) {
				p.failure = ""
				b.parked.Set(p)
			}
		}
	}
}

// erase replaces the user everywhere in an incident, and reports whether anything has changed.
func (s *Store) erase(o *organization, r *record, q *incident.EraseQuery) bool {
	changed := r.eraseActivities(q)
	changed = s.eraseResponse(o, r, q) || changed
	v := o.viewersOf(r)
	if replaceUser(&v.userDates, q, time.Time.After) {
		v.first = [1]userDate{}
		changed = true
	}
	return replaceUser(&r.subscribers, q, time.Time.Before) || changed
}

func (r *record) eraseActivities(q *incident.EraseQuery) (changed bool) {
	user, as := string(q.UserID), string(q.As)
	for i := range r.activities {
		if !r.activities[i].names(q.UserID) {
			continue
		}
		a := r.activity(int64(i) + 1)
		if a.UserID == q.UserID {
			a.UserID = q.As
			if a.Type == incident.ActivityTypeComment {
				a.Revision++
			}
		}
		if a.Field == fieldAssignee {
			a.Old, a.New = replaced(a.Old, user, as), replaced(a.New, user, as)
		}
		r.activities[i].set(&a)
		changed = true
	}
	if changed {
		r.dropFormerArray()
	}
	return changed
}

func replaced(text, user, as string) string {
	if text == user {
		return as
	}
	return text
}

// eraseResponse writes a new version if the user is in the response.
func (s *Store) eraseResponse(o *organization, r *record, q *incident.EraseQuery) bool {
	response := r.incident.Response
	if response == nil || response.Assignee != q.UserID && response.AcknowledgedBy != q.UserID {
		return false
	}
	after := r.incident.Clone()
	after.Version++
	if after.Response.Assignee == q.UserID {
		after.Response.Assignee = q.As
	}
	if after.Response.AcknowledgedBy == q.UserID {
		after.Response.AcknowledgedBy = q.As
	}
	if *after.Response == (incident.Response{}) {
		after.Response = nil
	}
	s.update(o, r, &after)
	dropIfEmpty(o.byAssignee, q.UserID)
	return true
}

// replaceUser replaces the user by q.As, or deletes the user if that is empty. If q.As is in the
// list already, the date of the user is kept if it is preferred to the date of q.As. The list
// gets a new array, so that no ID remains in memory.
func replaceUser(u *userDates, q *incident.EraseQuery, preferred func(user, as time.Time) bool) bool {
	i, found := u.find(q.UserID)
	if !found {
		return false
	}
	date := (*u)[i].date
	others := make(userDates, 0, len(*u))
	others = append(append(others, (*u)[:i]...), (*u)[i+1:]...)
	if q.As != "" {
		j, merges := others.find(q.As)
		switch {
		case !merges:
			others = append(others, userDate{})
			copy(others[j+1:], others[j:])
			others[j] = userDate{q.As, date}
		case preferred(date, others[j].date):
			others[j].date = date
		}
	}
	*u = others
	return true
}
