package managertest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/incidentkit/incident"
)

// response checks the people at work on an incident, its labels and its mark as a duplicate.
func (a *auditor) response(inc incident.Incident) error {
	isClosed := inc.Status == incident.StatusClosed
	if inc.DuplicateOf != 0 && !isClosed {
		return fmt.Errorf("status %v, and a duplicate of %d", inc.Status, inc.DuplicateOf)
	}
	for name, value := range inc.Labels {
		if name == "" || value == "" {
			return fmt.Errorf("label %q is %q", name, value)
		}
	}
	r := inc.Response
	if r == nil {
		return nil
	}
	isAcknowledged := r.DateAcknowledged != nil
	switch {
	case *r == (incident.Response{}):
		return errors.New("a response of nobody")
	case isAcknowledged != r.AcknowledgedStatus.Active():
		return fmt.Errorf("acknowledged at %v in status %v", r.DateAcknowledged, r.AcknowledgedStatus)
	case !isAcknowledged && (r.AcknowledgedBy != "" || r.AcknowledgedUntil != nil):
		return fmt.Errorf("acknowledged by %q until %v, but never", r.AcknowledgedBy, r.AcknowledgedUntil)
	case isClosed && r.AcknowledgedUntil != nil:
		return fmt.Errorf("closed, but acknowledged until %v", r.AcknowledgedUntil)
	}
	return nil
}

// duplicates checks that the marks name other incidents of the list, and form no circle.
func (a *auditor) duplicates(list []incident.Incident) error {
	of := map[int64]int64{}
	for _, inc := range list {
		of[inc.Identifier] = inc.DuplicateOf
	}
	for first := range of {
		steps := 0
		for next := of[first]; next != 0; next = of[next] {
			if _, ok := of[next]; !ok {
				if a.purged {
					break
				}
				return fmt.Errorf("incident %d is a duplicate of %d, which is missing", first, next)
			}
			if steps++; steps > len(of) {
				return fmt.Errorf("the duplicates from %d on form a circle", first)
			}
		}
	}
	return nil
}

// fields follows the fields that activities change one after another.
type fields map[string]string

// follow checks that an activity begins with the value with which the previous activity ended. After
// a user was erased, an assignment may be to the same user.
func (f fields) follow(act incident.Activity, erased bool) error {
	isEdit := act.Type == incident.ActivityTypeEdited || act.Type == incident.ActivityTypeAssigned
	if !isEdit || act.Field == "dateStarted" { // an earlier firing changes the start too
		return nil
	}
	changes := act.Old != act.New || erased && act.Field == "assignee"
	if before, known := f[act.Field]; known && before != act.Old || !changes {
		return fmt.Errorf("%s was %q", act.Field, before)
	}
	f[act.Field] = act.New
	return nil
}

// end checks that the activities end with the values of the incident.
func (f fields) end(inc incident.Incident) error {
	now := func(field string) string {
		if name, ok := strings.CutPrefix(field, "labels."); ok {
			return inc.Labels[name]
		}
		if name, ok := strings.CutPrefix(field, "annotations."); ok {
			return inc.Annotations[name]
		}
		if field == "assignee" && inc.Response != nil {
			return string(inc.Response.Assignee)
		}
		if field == "title" {
			return inc.Title
		}
		return ""
	}
	for field, last := range f {
		if got := now(field); got != last {
			return fmt.Errorf("the history ends with %s %q, and the incident has %q", field, last, got)
		}
	}
	return nil
}
