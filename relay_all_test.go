package incident_test

import (
	"context"
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// deaf is an outbox that writes no activities.
type deaf struct{ *memory.Store }

func (deaf) Apply(context.Context, incident.Change) (incident.Applied, error) {
	return incident.Applied{Sequence: 3}, nil
}

// A write allocates nothing for its notifiers, unless some want only some types.
func TestManager_allocatesNothingForNotifiers(t *testing.T) {
	allocated := func(opts incident.Options) float64 {
		m, err := incident.New(deaf{memory.New()}, &opts)
		if err != nil {
			t.Fatal(err)
		}
		return testing.AllocsPerRun(100, func() {
			if _, err := m.Comment(t.Context(), key, incident.NewComment{UserID: "ada", Comment: "Hm"}); err != nil {
				t.Fatal(err)
			}
		})
	}
	none := allocated(incident.Options{})
	for name, opts := range map[string]incident.Options{
		"one":   {Notifier: incident.NotifyElsewhere},
		"three": {Notifier: incident.NotifyElsewhere, Notifiers: elsewhere("mail", "pager")},
	} {
		if got := allocated(opts); got > none {
			t.Errorf("with %s a comment makes %v allocations, without %v", name, got, none)
		}
	}
}

// elsewhere returns notifiers that other processes deliver for.
func elsewhere(names ...string) map[string]incident.NamedNotifier {
	all := map[string]incident.NamedNotifier{}
	for _, name := range names {
		all[name] = incident.NamedNotifier{Notifier: incident.NotifyElsewhere}
	}
	return all
}
