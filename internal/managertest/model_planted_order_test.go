package managertest

import (
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// Each planted fault in the order of events, the reopening and the history of triggers must make
// the check fail.
func TestModel_CatchesOrder(t *testing.T) {
	for name, plant := range map[string]func(s *setup){
		"firings that are always the newest":         decorated(firing(noDate)),
		"resolutions that are always the newest":     decorated(func(m incident.Manager) incident.Manager { return &undatedManager{m} }),
		"a clock ahead that silences triggers":       decorated(func(m incident.Manager) incident.Manager { return &silencedManager{m} }),
		"triggers dated ahead of now":                stored(changing(dateTriggersAhead)),
		"triggers whose dates go back":               stored(changing(dateTriggersBack)),
		"a start that stays":                         stored(changing(keepStart)),
		"an end at the last report":                  stored(changing(endWithReport)),
		"triggers that end with their incident":      stored(changing(endTriggersWithIncident)),
		"a status that does not fall":                decorated(func(m incident.Manager) incident.Manager { return &stickyManager{m} }),
		"labels that do not follow":                  decorated(firing(noUpdate)),
		"labels that follow without being asked":     decorated(firing(alwaysUpdate)),
		"detections of firings that are not known":   decorated(firing(noDetection)),
		"episodes that are not told":                 decorated(firing(noEpisode)),
		"incidents that stay closed":                 decorated(firing(noReopening)),
		"incidents that are reopened after any time": decorated(firing(reopenAlways)),
		"last incidents that are not told":           stored(telling(hideLast)),
		"reopening what a user has closed":           stored(telling(closedByRule)),
		"reopening where a project has left":         stored(telling(neverLeft)),
		"activities without their triggers":          stored(changing(nameNoTrigger)),
		"triggers that fire without a trace":         stored(changing(forgetActivities(incident.ActivityTypeTriggerFired))),
		"triggers that are resolved without a trace": stored(changing(forgetActivities(incident.ActivityTypeTriggerResolved))),
		"projects that are linked without a trace":   stored(changing(forgetActivities(incident.ActivityTypeProjectLinked))),
		"projects that are unlinked without a trace": stored(changing(forgetActivities(incident.ActivityTypeProjectUnlinked))),
		"labels that follow without a trace":         stored(changing(forgetActivities(incident.ActivityTypeEdited))),
	} {
		t.Run(name, func(t *testing.T) {
			mustFalsify(t, func(uint64) setup {
				s := setup{store: memory.New(), cache: incident.NoCache}
				plant(&s)
				return s
			})
		})
	}
}

// decorated plants a fault of the Manager.
func decorated(wrap func(incident.Manager) incident.Manager) func(*setup) {
	return func(s *setup) { s.decorate = wrap }
}

// stored plants a fault of the store.
func stored(wrap func(incident.Store) incident.Store) func(*setup) {
	return func(s *setup) { s.store = wrap(s.store) }
}
