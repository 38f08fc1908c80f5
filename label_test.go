package incident

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// genLabels draws values of a few names. If optional is set, values may be empty.
func genLabels(t *rapid.T, label string, optional bool) map[string]string {
	values := []string{"1", "2"}
	if optional {
		values = append(values, "")
	}
	labels := map[string]string{}
	for _, name := range []string{"env", "région", "a.b"} {
		if rapid.Bool().Draw(t, label+" "+name) {
			labels[name] = rapid.SampledFrom(values).Draw(t, label)
		}
	}
	if len(labels) == 0 {
		return nil
	}
	return labels
}

// wantEdits returns the merged labels, and the activities of the differences.
func wantEdits(prefix string, before, values map[string]string) (after map[string]string, log []Activity) {
	after = map[string]string{}
	maps.Copy(after, before)
	maps.Copy(after, values)
	maps.DeleteFunc(after, func(_, value string) bool { return value == "" })
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if before[name] != after[name] {
			log = append(log, Activity{Field: prefix + name, Old: before[name], New: after[name]})
		}
	}
	return after, log
}

func TestRule_edit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		given := genState(t)
		before, now := given.clone(), genTime(t, "now")
		e := &Edit{
			UserID:           rapid.SampledFrom([]UserID{"", "ada"}).Draw(t, "user"),
			Title:            rapid.SampledFrom([]string{"", "Down", "Slow"}).Draw(t, "title"),
			Labels:           genLabels(t, "labels", true),
			Annotations:      genLabels(t, "annotations", true),
			Comment:          rapid.SampledFrom([]string{"", "Better."}).Draw(t, "comment"),
			NotificationUUID: uuid.Max,
		}
		if rapid.Bool().Draw(t, "another start") {
			e.DateStarted = genTime(t, "start").Add(time.Hour) // around the end of a closed incident
		}
		d, err := decideEdit(given, e, now)
		checkUntouched(t, before, given)
		inc := &before.Incident
		isLate := inc.DateClosed != nil && e.DateStarted.After(*inc.DateClosed)
		if isLate || err != nil {
			if !isLate || !errors.Is(err, ErrInvalid) {
				t.Fatalf("a start at %v of an incident that ended at %v = %v", e.DateStarted, inc.DateClosed, err)
			}
			return
		}
		want, log := before.clone(), []Activity(nil)
		if e.Title != "" && e.Title != inc.Title {
			log = append(log, Activity{Field: "title", Old: inc.Title, New: e.Title})
			want.Incident.Title = e.Title
		}
		if !e.DateStarted.IsZero() && e.DateStarted != inc.DateStarted {
			log = append(log, Activity{
				Field: "dateStarted", Old: inc.DateStarted.Format(time.RFC3339Nano), New: e.DateStarted.Format(time.RFC3339Nano),
			})
			want.Incident.DateStarted = e.DateStarted
		}
		labels, ofLabels := wantEdits("labels.", inc.Labels, e.Labels)
		annotations, ofAnnotations := wantEdits("annotations.", inc.Annotations, e.Annotations)
		want.Incident.Labels, want.Incident.Annotations = labels, annotations
		if log = slices.Concat(log, ofLabels, ofAnnotations); len(log) == 0 {
			checkUnchanged(t, given, d)
			return
		}
		for i := range log {
			log[i].Incident, log[i].Type, log[i].UserID, log[i].DateAdded = inc.Key(), ActivityTypeEdited, e.UserID, now
		}
		log[0].Comment, log[0].NotificationUUID = e.Comment, e.NotificationUUID
		if !slices.Equal(d.activities, log) {
			t.Fatalf("activities are %+v, want %+v", d.activities, log)
		}
		if !d.after.Incident.equal(&want.Incident) {
			t.Fatalf("the edited incident is %+v, want %+v", d.after.Incident, want.Incident)
		}
		if len(labels) == 0 && d.after.Incident.Labels != nil {
			t.Fatal("no label is left, and the map is not nil")
		}
		checkRepeated(t, d, func(s *State) (decision, error) { return decideEdit(s, e, now) })
	})
}

// The labels that a store adds and removes lead from the labels before to those after.
func TestRule_changedLabels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before, after := genState(t), genState(t)
		before.Incident.Labels, after.Incident.Labels = genLabels(t, "before", false), genLabels(t, "after", false)
		after.Incident.Title += "x" // so that there is a change
		c := changeOf(decision{before: before, after: after})
		got := maps.Clone(before.Incident.Labels)
		if got == nil {
			got = map[string]string{}
		}
		for _, l := range c.RemoveLabels {
			if got[l.Name] != l.Value {
				t.Fatalf("removes %v from %v", l, before.Incident.Labels)
			}
			delete(got, l.Name)
		}
		for _, l := range c.AddLabels {
			if _, found := got[l.Name]; found {
				t.Fatalf("adds %v to %v", l, got)
			}
			got[l.Name] = l.Value
		}
		if !maps.Equal(got, after.Incident.Labels) {
			t.Fatalf("from %v, adding %v and removing %v leads to %v, want %v",
				before.Incident.Labels, c.AddLabels, c.RemoveLabels, got, after.Incident.Labels)
		}
	})
}

// numbered returns n labels with values of the given size.
func numbered(first, n, size int) map[string]string {
	labels := map[string]string{}
	for i := first; i < first+n; i++ {
		labels[fmt.Sprintf("%03d", i)] = strings.Repeat("x", size)
	}
	return labels
}

// The limits apply to the labels after an edit, which may replace all labels.
func TestRule_limitsAfterTheMerge(t *testing.T) {
	removing := func(labels, others map[string]string) map[string]string {
		labels = maps.Clone(labels)
		for name := range others {
			labels[name] = ""
		}
		return labels
	}
	full, other := numbered(0, MaxLabels, MaxLabelsSize/MaxLabels-3), numbered(100, MaxLabels, MaxLabelsSize/MaxLabels-3)
	large, others := numbered(0, MaxAnnotations, MaxAnnotationsSize/MaxAnnotations-3), numbered(100, MaxAnnotations, MaxAnnotationsSize/MaxAnnotations-3)
	half := numbered(0, 4, MaxLabelsSize/8)
	for name, c := range map[string]struct {
		labels, annotations map[string]string // before
		edit                Edit
		field               string // of the refusal; empty for none
	}{
		"full labels":             {nil, nil, Edit{Labels: full}, ""},
		"full annotations":        {nil, nil, Edit{Annotations: large}, ""},
		"all labels replaced":     {full, nil, Edit{Labels: removing(other, full)}, ""},
		"all annotations":         {nil, large, Edit{Annotations: removing(others, large)}, ""},
		"one label too many":      {numbered(0, MaxLabels, 1), nil, Edit{Labels: numbered(100, 1, 1)}, "labels"},
		"one byte too many":       {full, nil, Edit{Labels: map[string]string{"000": full["000"] + "x"}}, "labels"},
		"one annotation too many": {nil, numbered(0, MaxAnnotations, 1), Edit{Annotations: numbered(100, 1, 1)}, "annotations"},
		"one byte of annotations": {nil, large, Edit{Annotations: map[string]string{"000": large["000"] + "x"}}, "annotations"},
		"two halves of labels":    {half, nil, Edit{Labels: numbered(100, 4, MaxLabelsSize/8)}, "labels"},
		"two halves, one removed": {half, nil, Edit{Labels: removing(numbered(100, 4, MaxLabelsSize/8), half)}, ""},
		"title beside the limits": {full, large, Edit{Title: "Other"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := c.edit
			if err := e.check(ruleEpoch); err != nil {
				t.Fatal(err)
			}
			before := &State{Incident: Incident{
				OrganizationID: "acme", Identifier: 1, Status: StatusOpen, Labels: c.labels, Annotations: c.annotations,
			}}
			_, err := decideEdit(before, &e, ruleEpoch)
			var refused *FieldError
			if errors.As(err, &refused); (err == nil) != (c.field == "") || err != nil && refused.Field != c.field {
				t.Errorf("decideEdit() = %v, want a refusal of %q", err, c.field)
			}
		})
	}
}
