package timeline

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"iter"

	"github.com/incidentkit/incident"
)

// Line is a line of JSON Lines. A single field is set.
type Line struct {
	Incident *incident.Incident `json:"incident,omitzero"`
	Trigger  *incident.Trigger  `json:"trigger,omitzero"`
	Activity *incident.Activity `json:"activity,omitzero"`
}

// JSONLines writes the incident, its triggers, and its activities in the order given, each as a
// [Line] that ends with a newline. A program that decodes the lines gets equal values.
//
// It returns the first error of w or of the activities. The lines before it may have been
// written.
func JSONLines(w io.Writer, inc incident.Incident, triggers []incident.Trigger, activities iter.Seq2[incident.Activity, error]) error {
	out := bufio.NewWriter(w)
	encode := json.NewEncoder(out).Encode
	if err := encode(Line{Incident: &inc}); err != nil {
		return failed(inc, err)
	}
	for i := range triggers {
		if err := encode(Line{Trigger: &triggers[i]}); err != nil {
			return failed(inc, err)
		}
	}
	for a, err := range activities {
		if err == nil {
			err = encode(Line{Activity: &a})
		}
		if err != nil {
			return failed(inc, err)
		}
	}
	return failed(inc, out.Flush())
}

// failed wraps an error, and returns nil for nil.
func failed(inc incident.Incident, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("timeline: %s: %w", inc.Key(), err)
}
