package statuspage

import (
	"fmt"
	"strings"

	"github.com/incidentkit/incident"
)

// Tally counts the incidents and updates in a file, and the new ones among them.
type Tally struct {
	incidents, newIncidents  int
	updates, newUpdates      int
	closed, linked, reopened int

	planned int // maintenances that have not begun
	blank   int // updates without a text
	beyond  int // components over the limit of an incident
}

func (t Tally) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d of %d incidents and %d of %d updates are new; closed %d incidents, linked %d components",
		t.newIncidents, t.incidents, t.newUpdates, t.updates, t.closed, t.linked)
	if t.reopened > 0 {
		fmt.Fprintf(&text, ", reopened %d incidents", t.reopened)
	}
	if t.planned > 0 {
		fmt.Fprintf(&text, "; %d maintenances have not begun", t.planned)
	}
	if t.blank > 0 {
		fmt.Fprintf(&text, "; %d updates have no text", t.blank)
	}
	if t.beyond > 0 {
		fmt.Fprintf(&text, "; %d components are beyond the limit of %d of an incident", t.beyond, incident.MaxProjects)
	}
	return text.String()
}
