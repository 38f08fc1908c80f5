// Package timeline writes the history of an incident: as Markdown for people, and as JSON Lines
// for programs. Both are written as the activities are read, so that a long history needs little
// memory.
//
//	err := timeline.Markdown(w, inc, triggers, timeline.Activities(ctx, incidents, inc.Key()), nil)
package timeline

import (
	"context"
	"iter"

	"github.com/incidentkit/incident"
)

// Activities returns the activities of an incident, the oldest first. It reads page by page as
// the loop proceeds. An error is yielded with the zero Activity,
// and ends the loop.
func Activities(ctx context.Context, m incident.ActivityManager, key incident.Key) iter.Seq2[incident.Activity, error] {
	return func(yield func(incident.Activity, error) bool) {
		f := incident.ActivityFilter{Limit: incident.MaxPageSize}
		for {
			page, err := m.Activities(ctx, key, f)
			if err != nil {
				yield(incident.Activity{}, err)
				return
			}
			for _, a := range page.Activities {
				if !yield(a, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			f.Cursor = page.Next
		}
	}
}

// List returns the activities of a slice, without an error.
func List(activities []incident.Activity) iter.Seq2[incident.Activity, error] {
	return func(yield func(incident.Activity, error) bool) {
		for _, a := range activities {
			if !yield(a, nil) {
				return
			}
		}
	}
}
