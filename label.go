package incident

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Limits of the labels and annotations of an incident. A size is the bytes of all names and
// values. A name has 1 to [MaxIDSize] bytes without control characters. A value is not empty,
// and has no control characters other than newline and tab.
const (
	MaxLabels          = 32
	MaxLabelsSize      = 8 << 10
	MaxAnnotations     = 64
	MaxAnnotationsSize = 32 << 10
)

// Label is a label of an incident as a [Store] receives it.
type Label struct {
	Name, Value string
}

// Edit holds the parameters of [IncidentManager.Edit].
type Edit struct {
	// UserID is the user who edits. Empty for a program.
	UserID UserID `json:"userId,omitzero"`

	// Title is the new title, by the rules of [NewIncident]. Empty leaves it unchanged.
	Title string `json:"title,omitzero"`

	// DateStarted is when the disruption really began, not after DateClosed. Zero leaves
	// it unchanged.
	DateStarted time.Time `json:"dateStarted,omitzero"`

	// Labels and Annotations have the values to set by name. An empty value removes the
	// name. Names that are not in the map stay. Each map can have twice the entries and
	// bytes of the limits, to replace all values. The limits apply to the result.
	Labels      map[string]string `json:"labels,omitzero"`
	Annotations map[string]string `json:"annotations,omitzero"`

	// Comment is a remark for the first activity, at most [MaxCommentSize] bytes. May be
	// empty.
	Comment string `json:"comment,omitzero"`

	// ExpectVersion is the [Incident.Version] that the caller has seen. Edit returns
	// [ErrVersionConflict] if the incident has another version. 0 permits any.
	ExpectVersion int64 `json:"version,omitzero"`

	// NotificationUUID is the idempotency key of the call and the UUID of its first
	// activity: see [StatusUpdate.NotificationUUID].
	NotificationUUID uuid.UUID `json:"notificationUuid,omitzero"`
}

// The names in [Activity.Field].
const (
	fieldTitle       = "title"
	fieldStarted     = "dateStarted"
	fieldUntil       = "acknowledgedUntil"
	fieldAssignee    = "assignee"
	fieldProject     = "project"
	fieldDuplicateOf = "duplicateOf"
	prefixLabels     = "labels."
	prefixAnnotation = "annotations."
)

// dateText returns a date as the text of an activity. Empty for nil.
func dateText(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// decideEdit is the rule for an edit: each field that differs changes, and has an activity.
func decideEdit(before *State, e *Edit, now time.Time) (decision, error) {
	after := before.clone()
	inc := &after.Incident
	var log []Activity
	edited := func(field, from, to string) {
		log = append(log, Activity{
			Incident:  inc.Key(),
			Type:      ActivityTypeEdited,
			UserID:    e.UserID,
			Field:     field,
			Old:       from,
			New:       to,
			DateAdded: now,
		})
	}
	if e.Title != "" && e.Title != inc.Title {
		edited(fieldTitle, inc.Title, e.Title)
		inc.Title = e.Title
	}
	if started := e.DateStarted; !started.IsZero() && !started.Equal(inc.DateStarted) {
		if inc.DateClosed != nil && started.After(*inc.DateClosed) {
			return decision{}, invalid("dateStarted", "must not be after the end of the incident, %s", dateText(inc.DateClosed))
		}
		edited(fieldStarted, dateText(&inc.DateStarted), dateText(&started))
		inc.DateStarted = started
	}
	inc.Labels = editLabels(inc.Labels, e.Labels, prefixLabels, edited)
	inc.Annotations = editLabels(inc.Annotations, e.Annotations, prefixAnnotation, edited)
	if len(log) == 0 {
		return unchanged(before), nil
	}
	if _, _, err := checkLabels(inc.Labels, inc.Annotations); err != nil {
		return decision{}, err
	}
	log[0].Comment, log[0].NotificationUUID = e.Comment, e.NotificationUUID
	return decision{
		before:        before,
		after:         after,
		activities:    log,
		subscriptions: subscriptions(inc.Key(), subscribersOf(e.UserID, nil), now),
	}, nil
}

// editLabels sets the values of an edit in labels, which it may change, and reports each
// change in order of name. It returns nil if no label is left.
func editLabels(labels, values map[string]string, prefix string, edited func(field, from, to string)) map[string]string {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		from, to := labels[name], values[name]
		if from == to {
			continue
		}
		edited(prefix+name, from, to)
		if to == "" {
			delete(labels, name)
			continue
		}
		if labels == nil {
			labels = make(map[string]string, len(values))
		}
		labels[name] = to
	}
	if len(labels) == 0 {
		return nil
	}
	return labels
}

// sortedLabels returns labels in order of name.
func sortedLabels(labels map[string]string) []Label {
	if len(labels) == 0 {
		return nil
	}
	sorted := make([]Label, 0, len(labels))
	for name, value := range labels {
		sorted = append(sorted, Label{name, value})
	}
	slices.SortFunc(sorted, func(a, b Label) int { return cmp.Compare(a.Name, b.Name) })
	return sorted
}

// changedLabels returns the labels of after that are not in before, in order of name.
func changedLabels(after, before map[string]string) []Label {
	if len(after) == 0 || maps.Equal(after, before) {
		return nil
	}
	return slices.DeleteFunc(sortedLabels(after), func(l Label) bool { return before[l.Name] == l.Value })
}

// checkLabels validates labels and annotations, and returns copies. An empty map becomes nil.
func checkLabels(labels, annotations map[string]string) (l, a map[string]string, err error) {
	if l, err = checkNamed("labels", labels, MaxLabels, MaxLabelsSize, false); err != nil {
		return nil, nil, err
	}
	a, err = checkNamed("annotations", annotations, MaxAnnotations, MaxAnnotationsSize, false)
	return l, a, err
}

// checkNamed validates values by name, and returns a copy. If optional is set, values may be
// empty.
func checkNamed(field string, values map[string]string, most, size int, optional bool) (map[string]string, error) {
	if len(values) == 0 {
		return nil, nil
	}
	if len(values) > most {
		return nil, invalid(field, "has %d entries, limit %d", len(values), most)
	}
	total := 0
	for name, value := range values {
		total += len(name) + len(value)
	}
	if total > size {
		return nil, invalid(field, "has %d bytes, limit %d", total, size)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		var bad *FieldError
		if err := checkID(field, name, false); errors.As(err, &bad) {
			return nil, invalid(field, "name %s", bad.Problem)
		}
		if err := checkText(field, values[name]); errors.As(err, &bad) {
			return nil, invalid(field, "value of %q %s", name, bad.Problem)
		}
		if values[name] == "" && !optional {
			return nil, invalid(field, "value of %q is required", name)
		}
	}
	return maps.Clone(values), nil
}

// check validates e, and makes its dates and maps canonical.
func (e *Edit) check(now time.Time) (err error) {
	if e.Title != "" {
		if err := checkTitle(e.Title); err != nil {
			return err
		}
	}
	if e.DateStarted, err = checkDate("dateStarted", e.DateStarted, time.Time{}, now); err != nil {
		return err
	}
	if e.Labels, err = checkNamed("labels", e.Labels, 2*MaxLabels, 2*MaxLabelsSize, true); err != nil {
		return err
	}
	if e.Annotations, err = checkNamed("annotations", e.Annotations, 2*MaxAnnotations, 2*MaxAnnotationsSize, true); err != nil {
		return err
	}
	if e.Title == "" && e.DateStarted.IsZero() && len(e.Labels) == 0 && len(e.Annotations) == 0 {
		return invalid("edit", "names no field to change")
	}
	return checkRemark(e.UserID, e.Comment, e.ExpectVersion)
}
