package storetest

import (
	"slices"

	"github.com/incidentkit/incident"
)

// A claim has the current labels, annotations, response and mark of the incident, and the trigger
// and the changed field of the activity. So has the claim of a replayed notification.
func claimIsWholeAfterOperations(t *trial, s incident.OutboxStore) {
	st := mustCreate(t, s, operated(acme, api), firing(critical))
	key := st.Incident.Key()
	all := operationActivities(key)[:len(responses())+1]
	mustApply(t, s, incident.Change{Key: key, Activities: slices.Clone(all), Notify: unnamed()})
	for i := range all {
		all[i].Sequence = int64(3 + i)
		after := incident.State{Incident: st.Incident.Clone()}
		after.Incident.Labels, after.Incident.Annotations = hostileLabels()[i], hostileLabels()[i+1]
		after.Incident.DuplicateOf = int64(i)
		if i < len(responses()) {
			after.Incident.Response = responses()[i]
		} else {
			after.Incident.Labels, after.Incident.Annotations = nil, nil
		}
		st = mustChange(t, s, update(st, after))
		got := mustClaimOne(t, s, key, all[i].Sequence)
		wantEqual(t, "the claimed activity", got.Activity, all[i])
		wantEqual(t, "the claimed incident", got.Incident, st.Incident)
		mustSettle(t, s, park(got, "broken"))
	}
	mustReplayParked(t, s, key, len(all))
	st = mustChange(t, s, relabelling(st, map[string]string{"team": "shop"}))
	one := anything()
	one.Limit = 1
	for range all {
		got := mustClaim(t, s, one)[0]
		wantEqual(t, "the replayed activity", got.Activity, all[got.Sequence-3])
		wantEqual(t, "the incident of a replayed activity", got.Incident, st.Incident)
		mustSettle(t, s, deliver(got))
	}
}
