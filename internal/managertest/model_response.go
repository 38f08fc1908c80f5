package managertest

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

func copyResponse(r *incident.Response) *incident.Response {
	if r == nil {
		return nil
	}
	c := *r
	c.DateAcknowledged, c.AcknowledgedUntil = copyTime(r.DateAcknowledged), copyTime(r.AcknowledgedUntil)
	return &c
}

// repeatable is the part of an update by which a repetition is recognized.
type repeatable struct {
	expect int64
	id     uuid.UUID
	kind   incident.ActivityType
}

// errSettled stands for an update that changes nothing.
var errSettled = errors.New("nothing to change")

// settled returns the answer of an update that must not be written, or nil. An update whose UUID
// is known is never refused for the state of the incident.
func (w *world) settled(r *record, isSame, isRefused bool, u repeatable) error {
	repeated, known := w.known(r.key(), u.id, u.kind)
	isStale := u.expect != 0 && u.expect != r.incident.Version
	switch {
	case isStale && repeated == nil && known:
		return incident.ErrConflict
	case isStale && repeated == nil:
		return incident.ErrVersionConflict
	case isStale, isSame, repeated != nil:
		return errSettled
	case isRefused:
		return incident.ErrInvalid
	case known:
		return incident.ErrConflict
	}
	return nil
}

func answerSettled(r *record, err error) (any, error) {
	if errors.Is(err, errSettled) {
		return unchanged(r), nil
	}
	return nil, err
}

// isAcknowledged reports whether an acknowledgement has begun and not ended.
func (w *world) isAcknowledged(inc incident.Incident) bool {
	r := inc.Response
	return r != nil && r.DateAcknowledged != nil && (r.AcknowledgedUntil == nil || r.AcknowledgedUntil.After(w.now))
}

// forget removes the acknowledgement.
func (r *record) forget() {
	if old := r.incident.Response; old != nil && old.Assignee != "" {
		r.incident.Response = &incident.Response{Assignee: old.Assignee}
		return
	}
	r.incident.Response = nil
}

// respond adjusts the response to a status that is about to be set: closing the incident removes
// the end of the acknowledgement, and reopening removes the acknowledgement.
func (r *record) respond(to incident.Status) {
	switch {
	case to == incident.StatusClosed && r.incident.Response != nil:
		r.incident.Response.AcknowledgedUntil = nil
	case to != incident.StatusClosed && !r.active():
		r.forget()
		r.incident.DuplicateOf = 0
	}
}

// cover has the acknowledgement cover a status that a person sets.
func (r *record) cover(to incident.Status) {
	if a := r.incident.Response; r.active() && a != nil && a.DateAcknowledged != nil && rank[to] > rank[a.AcknowledgedStatus] {
		a.AcknowledgedStatus = to
	}
}

func (w *world) acknowledge(key incident.Key, a incident.Acknowledgement) (any, error) {
	until := time.Time{}
	if !a.Until.IsZero() {
		if until = cut(a.Until); a.Withdraw || !until.After(w.now) {
			return nil, incident.ErrInvalid
		}
	}
	r := w.find(key)
	if r == nil {
		return nil, incident.ErrNotFound
	}
	kind := incident.ActivityTypeAcknowledged
	if a.Withdraw {
		kind = incident.ActivityTypeUnacknowledged
	}
	held, now := w.isAcknowledged(r.incident), r.incident.Response
	isMoved := !until.IsZero() && (now == nil || now.AcknowledgedUntil == nil || *now.AcknowledgedUntil != until)
	isSame := !r.active() || held && !a.Withdraw && !isMoved || !held && a.Withdraw
	if err := w.settled(r, isSame, false, repeatable{a.ExpectVersion, a.NotificationUUID, kind}); err != nil {
		return answerSettled(r, err)
	}
	activity := incident.Activity{
		Type: kind, UserID: a.UserID, Comment: a.Comment, NotificationUUID: a.NotificationUUID, DateAdded: w.now,
	}
	if held && now.AcknowledgedUntil != nil && !a.Withdraw {
		activity.Old = now.AcknowledgedUntil.Format(time.RFC3339Nano)
	}
	if !held || a.Withdraw {
		r.forget()
	}
	if !held {
		if r.incident.Response == nil {
			r.incident.Response = &incident.Response{}
		}
		r.incident.Response.AcknowledgedBy = a.UserID
		r.incident.Response.DateAcknowledged = copyTime(&w.now)
		r.incident.Response.AcknowledgedStatus = r.incident.Status
	}
	if !until.IsZero() {
		r.incident.Response.AcknowledgedUntil = &until
		activity.Field, activity.New = "acknowledgedUntil", until.Format(time.RFC3339Nano)
	}
	w.append(r, activity)
	w.subscribeAll(r, a.UserID)
	return changed(r), nil
}

func (w *world) assign(key incident.Key, a incident.Assignment) (any, error) {
	r := w.find(key)
	if r == nil {
		return nil, incident.ErrNotFound
	}
	was := incident.UserID("")
	if r.incident.Response != nil {
		was = r.incident.Response.Assignee
	}
	isRefused := a.Assignee != "" && !w.admits(r, a.Assignee)
	err := w.settled(r, !r.active() || was == a.Assignee, isRefused,
		repeatable{a.ExpectVersion, a.NotificationUUID, incident.ActivityTypeAssigned})
	if err != nil {
		return answerSettled(r, err)
	}
	if r.incident.Response == nil {
		r.incident.Response = &incident.Response{}
	}
	r.incident.Response.Assignee = a.Assignee
	if *r.incident.Response == (incident.Response{}) {
		r.incident.Response = nil
	}
	w.append(r, incident.Activity{
		Type: incident.ActivityTypeAssigned, UserID: a.UserID, Comment: a.Comment, NotificationUUID: a.NotificationUUID,
		Field: "assignee", Old: string(was), New: string(a.Assignee), DateAdded: w.now,
	})
	w.subscribeAll(r, a.UserID, a.Assignee)
	return changed(r), nil
}

func (w *world) edit(key incident.Key, e incident.Edit) (any, error) {
	if e.Title == "" && e.DateStarted.IsZero() && len(e.Labels)+len(e.Annotations) == 0 {
		return nil, incident.ErrInvalid
	}
	r := w.find(key)
	if r == nil {
		return nil, incident.ErrNotFound
	}
	inc, log := copyIncident(r.incident), []incident.Activity(nil)
	if e.Title != "" && e.Title != inc.Title {
		log = append(log, incident.Activity{Field: "title", Old: inc.Title, New: e.Title})
		inc.Title = e.Title
	}
	isLate := false
	if at := cut(e.DateStarted); !e.DateStarted.IsZero() && at != inc.DateStarted {
		isLate = inc.DateClosed != nil && at.After(*inc.DateClosed)
		log = append(log, incident.Activity{
			Field: "dateStarted", Old: inc.DateStarted.Format(time.RFC3339Nano), New: at.Format(time.RFC3339Nano),
		})
		inc.DateStarted = at
	}
	inc.Labels, log = relabeled(inc.Labels, e.Labels, "labels.", log)
	inc.Annotations, log = relabeled(inc.Annotations, e.Annotations, "annotations.", log)
	isRefused := isLate || len(inc.Labels) > incident.MaxLabels
	err := w.settled(r, len(log) == 0, isRefused, repeatable{e.ExpectVersion, e.NotificationUUID, incident.ActivityTypeEdited})
	if err != nil {
		return answerSettled(r, err)
	}
	r.incident = inc
	for i, a := range log {
		a.Type, a.UserID, a.DateAdded = incident.ActivityTypeEdited, e.UserID, w.now
		if i == 0 {
			a.Comment, a.NotificationUUID = e.Comment, e.NotificationUUID
		}
		w.append(r, a)
	}
	w.subscribeAll(r, e.UserID)
	return changed(r), nil
}

// relabeled returns labels with the given values set, and the log with an activity for each
// difference.
func relabeled(labels, values map[string]string, prefix string, log []incident.Activity) (map[string]string, []incident.Activity) {
	after := map[string]string{}
	maps.Copy(after, labels)
	for _, name := range sortedKeys(values) {
		value := values[name]
		if value == after[name] {
			continue
		}
		log = append(log, incident.Activity{Field: prefix + name, Old: after[name], New: value})
		after[name] = value
		if value == "" {
			delete(after, name)
		}
	}
	return after, log
}

func (w *world) markDuplicate(key incident.Key, d incident.Duplicate) (any, error) {
	if d.Of <= 0 || d.Of == key.Identifier {
		return nil, incident.ErrInvalid
	}
	r, original := w.find(key), w.find(incident.Key{OrganizationID: key.OrganizationID, Identifier: d.Of})
	if r == nil || original == nil {
		return nil, incident.ErrNotFound
	}
	err := w.settled(r, r.incident.DuplicateOf == d.Of, original.incident.DuplicateOf != 0,
		repeatable{d.ExpectVersion, d.NotificationUUID, incident.ActivityTypeMarkedDuplicate})
	if err != nil {
		return answerSettled(r, err)
	}
	was := ""
	if r.incident.DuplicateOf != 0 {
		was = strconv.FormatInt(r.incident.DuplicateOf, 10)
	}
	w.append(r, incident.Activity{
		Type: incident.ActivityTypeMarkedDuplicate, UserID: d.UserID, Comment: d.Comment, NotificationUUID: d.NotificationUUID,
		Field: "duplicateOf", Old: was, New: strconv.FormatInt(d.Of, 10), DateAdded: w.now,
	})
	if r.active() {
		w.setStatus(r, incident.StatusClosed, incident.StatusMethodManual, incident.Activity{UserID: d.UserID, DateAdded: w.now})
	}
	r.incident.DuplicateOf = d.Of
	w.subscribeAll(r, d.UserID)
	return changed(r), nil
}

// answers reports whether the incident has the labels, the assignee and the acknowledgement of a
// filter.
func (w *world) answers(inc incident.Incident, f incident.IncidentFilter) bool {
	for name, value := range f.Labels {
		if inc.Labels[name] != value {
			return false
		}
	}
	if f.Assignee != "" && (inc.Response == nil || inc.Response.Assignee != f.Assignee) {
		return false
	}
	return f.Acknowledged == nil || *f.Acknowledged == w.isAcknowledged(inc)
}

func (w *world) count(f incident.IncidentFilter) (any, error) {
	wanted := f.Statuses
	if len(wanted) == 0 {
		wanted = statuses
	}
	c := incident.Counts{ByStatus: map[incident.Status]int{}}
	for _, s := range wanted {
		c.ByStatus[s] = 0
	}
	limit := cmp.Or(f.Limit, incident.MaxCount)
	for r := range w.org(f.OrganizationID).living() {
		s := r.incident.Status
		switch {
		case !w.matches(r.incident, f) || !slices.Contains(wanted, s):
		case c.ByStatus[s] < limit:
			c.ByStatus[s]++
		case !slices.Contains(c.Capped, s):
			c.Capped = append(c.Capped, s)
		}
	}
	slices.Sort(c.Capped)
	return c, nil
}
