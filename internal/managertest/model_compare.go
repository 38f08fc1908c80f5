package managertest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// anyConflict is the model's conflict with several incidents. The library may name any of
// them.
type anyConflict struct{ others []incident.Key }

func (e *anyConflict) Error() string { return fmt.Sprintf("conflict with one of %v", e.others) }

func (e *anyConflict) Unwrap() error { return incident.ErrConflict }

// categories are the errors that callers match. An error belongs to the first that it
// matches.
var categories = []error{
	incident.ErrInvalid, incident.ErrNotFound, incident.ErrVersionConflict, incident.ErrConflict,
	incident.ErrForbidden, incident.ErrUnavailable, incident.ErrUnknownOutcome,
	context.Canceled, context.DeadlineExceeded, errAbandoned,
}

func category(err error) error {
	for _, c := range categories {
		if errors.Is(err, c) {
			return c
		}
	}
	return err
}

// checkError compares an error with the expected error, and checks that its form fits its
// category.
func checkError(want, got error) error {
	if want == nil && got == nil {
		return nil
	}
	if category(want) != category(got) {
		return fmt.Errorf("error is %q, want %q", text(got), text(want))
	}
	if n := countCategories(got); n > 1 {
		return fmt.Errorf("error %q matches %d categories, want one", text(got), n)
	}
	var field *incident.FieldError
	if errors.Is(got, incident.ErrInvalid) && (!errors.As(got, &field) || field.Field == "" || field.Problem == "") {
		return fmt.Errorf("error %q names no field", text(got))
	}
	var others *anyConflict
	var named *incident.ConflictError
	isNamed := errors.As(got, &named)
	switch {
	case errors.As(want, &others) && (!isNamed || !slices.Contains(others.others, named.Existing)):
		return fmt.Errorf("error is %q, want a %w", text(got), want)
	case others == nil && isNamed:
		return fmt.Errorf("error %q names an incident, want %q", text(got), text(want))
	}
	return nil
}

// countCategories counts the categories that the error matches. A version conflict is
// also a conflict, and counts once.
func countCategories(err error) int {
	n := 0
	for _, c := range categories {
		if errors.Is(err, c) && (c != incident.ErrConflict || !errors.Is(err, incident.ErrVersionConflict)) {
			n++
		}
	}
	return n
}

func text(err error) string {
	if err == nil {
		return "nil"
	}
	return err.Error()
}

// checkValue compares the result of a call with the model's.
func checkValue(w *world, want, got any) error {
	switch want := want.(type) {
	case nil:
		return nil
	case txAnswer:
		return want.check(got.(txAnswer))
	case bulkAnswer:
		return want.check(got.(bulkAnswer))
	case incident.Activity:
		return w.checkActivity(want, got.(incident.Activity))
	case []incident.Activity:
		activities := got.([]incident.Activity)
		if len(want) != len(activities) {
			return fmt.Errorf("%d activities, want %d", len(activities), len(want))
		}
		for i := range want {
			if err := w.checkActivity(want[i], activities[i]); err != nil {
				return err
			}
		}
		return nil
	}
	if !same(want, got) {
		return fmt.Errorf("\n got %s\nwant %s", describe(got), describe(want))
	}
	return nil
}

// checkActivity compares an activity. The model learns each UUID that the library
// generated; a UUID must never change and must be unique in the organization.
func (w *world) checkActivity(want, got incident.Activity) error {
	o, own := w.org(want.Incident.OrganizationID), activityID{want.Incident.Identifier, want.Sequence}
	if want.NotificationUUID == uuid.Nil {
		id := &o.records[own.identifier-1].activities[own.sequence-1].NotificationUUID
		if *id == uuid.Nil {
			*id = got.NotificationUUID
		}
		want.NotificationUUID = *id
		if other, known := o.notifications[*id]; *id == uuid.Nil || known && other != own {
			return fmt.Errorf("activity %d of %s has no UUID of its own", own.sequence, want.Incident)
		}
		o.notifications[*id] = own
	}
	if !sameActivity(want, got) {
		return fmt.Errorf("\n got %s\nwant %s", describe(got), describe(want))
	}
	return nil
}
