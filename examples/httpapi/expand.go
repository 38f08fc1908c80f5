package main

import (
	"cmp"
	"context"
	"strings"

	"github.com/incidentkit/incident"
)

// expansions are the parts of a response that Sentry's API does not have. A client gets them only
// if it asks for them with the parameter expand, so that other clients receive what they know.
type expansions struct {
	response, labels, annotations, duplicateOf bool

	// history adds the activities of other types, and the trigger of a status change.
	history bool
}

// expanded returns the expansions of the request.
func (c *call) expanded() (x expansions, err error) {
	if !c.query.Has("expand") {
		return x, nil
	}
	for name := range strings.SplitSeq(c.query.Get("expand"), ",") {
		switch name {
		case "response":
			x.response = true
		case "labels":
			x.labels = true
		case "annotations":
			x.annotations = true
		case "duplicateOf":
			x.duplicateOf = true
		case "history":
			x.history = true
		default:
			return x, &incident.FieldError{Field: "expand", Problem: "must name response, labels, annotations, duplicateOf or history, separated by commas"}
		}
	}
	return x, nil
}

// incident removes the fields that were not asked for.
func (x expansions) incident(inc *incident.Incident) {
	if !x.response {
		inc.Response = nil
	}
	if !x.labels {
		inc.Labels = nil
	}
	if !x.annotations {
		inc.Annotations = nil
	}
	if !x.duplicateOf {
		inc.DuplicateOf = 0
	}
}

// firstOwnType is the first type of an activity that Sentry's API does not have.
const firstOwnType incident.ActivityType = 100

// maxReads bounds the reads for a page of activities. A page of an incident with many activities
// of other types may be short, or even empty, and has a next page.
const maxReads = 10

// activities returns a page of activities. Without the expansion history, it leaves out the
// activities that Sentry's API does not have, and fills the page with the next ones.
func (a *api) activities(ctx context.Context, key incident.Key, f incident.ActivityFilter, x expansions) (incident.ActivityPage, error) {
	if x.history {
		return a.incidents.Activities(ctx, key, f)
	}
	limit := cmp.Or(f.Limit, incident.DefaultPageSize)
	kept := make([]incident.Activity, 0, limit)
	for range maxReads {
		page, err := a.incidents.Activities(ctx, key, f)
		if err != nil {
			return page, err
		}
		for i, activity := range page.Activities {
			if activity.Type >= firstOwnType {
				continue
			}
			if len(kept) == limit {
				// The page ends before this activity. Another read has the cursor for that. It
				// finds the same activities, since it has a cursor: the first read cannot exceed limit.
				f.Limit = i
				page, err = a.incidents.Activities(ctx, key, f)
				return incident.ActivityPage{Activities: kept, Next: page.Next}, err
			}
			activity.TriggerID = ""
			kept = append(kept, activity)
		}
		f.Cursor, f.Limit = page.Next, incident.MaxPageSize
		if len(kept) == limit || page.Next == "" {
			break
		}
	}
	return incident.ActivityPage{Activities: kept, Next: f.Cursor}, nil
}
