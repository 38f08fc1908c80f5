package incident_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/incidentkit/incident"
)

// duplicates returns a call that marks acme#1 as a duplicate.
func duplicates(of int64) func(context.Context, incident.Manager) error {
	return func(ctx context.Context, m incident.Manager) error {
		return only(m.MarkDuplicate(ctx, key, incident.Duplicate{Of: of}))
	}
}

func TestManager_MarkDuplicate(t *testing.T) {
	ctx := t.Context()
	m, _ := probed(t, nil)
	if err := create(func(*incident.NewIncident) {})(ctx, m); err != nil {
		t.Fatal(err)
	}
	r, err := m.MarkDuplicate(ctx, key, incident.Duplicate{Of: 2, UserID: "ada"})
	if err != nil || !r.Changed || r.DuplicateOf != 2 || r.Status != incident.StatusClosed || mustActive(t, m) {
		t.Fatalf("MarkDuplicate() = %+v, %v, and the slot is taken: %t", r, err, mustActive(t, m))
	}
	if inc := mustGet(t, m); inc.DuplicateOf != 2 || inc.Version != r.Version {
		t.Errorf("Get() = %+v after MarkDuplicate() = %+v", inc, r.Incident)
	}
	if r, err := m.MarkDuplicate(ctx, key, incident.Duplicate{Of: 2}); err != nil || r.Changed {
		t.Errorf("the same mark again = %+v, %v", r, err)
	}
	if r, err := m.MarkDuplicate(ctx, other, incident.Duplicate{Of: 1}); !errors.Is(err, incident.ErrInvalid) {
		t.Errorf("a circle = %+v, %v", r, err)
	}
	if r, err := m.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusOpen}); err != nil || r.DuplicateOf != 0 {
		t.Errorf("reopened, the duplicate is %+v, %v", r, err)
	}
}

// A refused mark leaves the transaction usable, like the refusals of other calls.
func TestManager_MarkDuplicate_refusalInTx(t *testing.T) {
	ctx := t.Context()
	for name, c := range map[string]struct {
		call func(context.Context, incident.Manager) error
		want error
	}{
		"of a missing incident": {duplicates(9), incident.ErrNotFound},
		"of a duplicate":        {duplicates(2), incident.ErrInvalid},
		"outdated": {func(ctx context.Context, m incident.Manager) error {
			return only(m.MarkDuplicate(ctx, key, incident.Duplicate{Of: 3, ExpectVersion: 9}))
		}, incident.ErrVersionConflict},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := probed(t, nil)
			for range 2 {
				if err := create(func(*incident.NewIncident) {})(ctx, m); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := m.MarkDuplicate(ctx, other, incident.Duplicate{Of: 3}); err != nil {
				t.Fatal(err)
			}
			err := m.InTx(ctx, func(tx incident.Manager) error {
				if err := c.call(ctx, tx); !errors.Is(err, c.want) {
					t.Errorf("in a transaction = %v, want %v", err, c.want)
				}
				return only(tx.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusCritical}))
			})
			if err != nil || mustGet(t, m).Status != incident.StatusCritical {
				t.Errorf("after a refusal the transaction = %v, and the status is %v", err, mustGet(t, m).Status)
			}
			if err := c.call(ctx, m); !errors.Is(err, c.want) {
				t.Errorf("without a transaction = %v, want %v", err, c.want)
			}
		})
	}
}

// The caller's maps stay its own, before and after the call.
func TestManager_Edit_leavesTheCallersMaps(t *testing.T) {
	ctx := t.Context()
	m, _ := probed(t, nil)
	labels, annotations := map[string]string{"env": "prod", "gone": ""}, map[string]string{"runbook": "wiki"}
	e := incident.Edit{Labels: labels, Annotations: annotations}
	if _, err := m.Edit(ctx, key, e); err != nil {
		t.Fatal(err)
	}
	if len(labels) != 2 || len(annotations) != 1 {
		t.Errorf("the call changed its arguments to %v and %v", labels, annotations)
	}
	labels["env"], annotations["runbook"] = "spoilt", "spoilt"
	inc := mustGet(t, m)
	if inc.Labels["env"] != "prod" || inc.Annotations["runbook"] != "wiki" {
		t.Errorf("the incident uses the caller's memory: %v, %v", inc.Labels, inc.Annotations)
	}
	inc.Labels["env"] = "spoilt"
	if inc := mustGet(t, m); inc.Labels["env"] != "prod" {
		t.Errorf("the cache has the memory of its readers: %v", inc.Labels)
	}
}

// An activity that is not the first of its edit has no remark, so that a long remark is not
// written for each label.
func TestManager_Edit_activities(t *testing.T) {
	ctx := t.Context()
	m, _ := probed(t, nil)
	r, err := m.Edit(ctx, key, incident.Edit{
		Title: "Other", Comment: "Better.", UserID: "ada",
		Labels: map[string]string{"b": "2", "a": "1"}, Annotations: map[string]string{"a": "text"},
	})
	if err != nil || r.Version != 2 {
		t.Fatalf("Edit() = %+v, %v, want version 2", r, err)
	}
	page, err := m.Activities(ctx, key, incident.ActivityFilter{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range page.Activities[3:] {
		got = append(got, a.Field+": "+a.Old+" → "+a.New+" ("+a.Comment+")")
	}
	want := []string{"title: Error rate → Other (Better.)", "labels.a:  → 1 ()", "labels.b:  → 2 ()", "annotations.a:  → text ()"}
	if !slices.Equal(got, want) {
		t.Errorf("activities are %q, want %q", got, want)
	}
}
