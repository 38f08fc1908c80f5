package storetest

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// hostileLabels returns sets of labels that a storage may misread or take for equal. Labels that
// folding, trimming, normalizing or joining name and value makes equal are in different sets.
func hostileLabels() []map[string]string {
	var sets []map[string]string
	for i, name := range names() {
		sets = append(sets, map[string]string{name: "x", "value": name, "text": texts()[i%len(texts())]})
	}
	for i, separator := range []string{
		"", " ", "=", "==", ":", ",", ";", "|", "/", "&", "=>", `"`, `","`, `":"`, "'", `\`, `\\`, `\"`, `\0`, `\x00`, `\u0000`,
		"\u2400", "\u200b", "\ufeff", "\u00a0", "{", "}",
	} {
		sets[i]["k"+separator+"l"] = "v"
		sets[i+1]["k"] = "l" + separator + "v"
	}
	return sets
}

// wantRead checks the incident in the result of each method that returns incidents.
func wantRead(t *trial, s incident.Store, want incident.State) {
	t.Helper()
	key := want.Incident.Key()
	wantEqual(t, "the state", mustLoad(t, s, key), want)
	wantEqual(t, "the details", mustLoadDetails(t, s, key, ada).Incident, want.Incident)
	wantFound(t, s, incident.IncidentQuery{OrganizationID: key.OrganizationID, Limit: everything}, want.Incident)
	for _, slot := range slotsOf(want.Incident) {
		if got := mustLoadSlot(t, s, slot); got.State == nil || !equal(*got.State, want) {
			t.Errorf("LoadSlot(%+v) = %s, want the holder %s", slot, show(got), show(want))
		}
	}
}

// mustWrite applies a change of the row, and checks the incident that is returned, then replayed
// and read.
func mustWrite(t *trial, s incident.Store, c incident.Change) incident.State {
	t.Helper()
	want := c.Incident.Clone()
	applied := mustApply(t, s, c)
	want.Identifier = applied.Incident.Identifier
	wantEqual(t, "the incident that Apply returned", applied.Incident, want)
	if len(c.Activities) > 0 {
		wantEqual(t, "the replayed incident", mustApply(t, s, c).Incident, want)
	}
	if c.Key.Identifier == 0 && c.Incident.DetectionUUID != uuid.Nil {
		wantEqual(t, "the incident of a known DetectionUUID", mustApply(t, s, withNewUUIDs(c)).Incident, want)
	}
	st := mustLoad(t, s, want.Key())
	wantRead(t, s, incident.State{Incident: want, Triggers: st.Triggers})
	return st
}

// Labels and annotations are returned byte for byte.
func roundTripKeepsLabels(t *trial, s incident.Store) {
	sets := hostileLabels()
	for i, labels := range sets {
		inc := draft(acme)
		inc.Labels, inc.Annotations = labels, sets[(i+1)%len(sets)]
		if i%2 == 0 {
			inc.DetectionUUID = uuid.New()
		}
		mustWrite(t, s, creation(inc))
	}
	inc := ruled(acme, api)
	inc.Labels = map[string]string{"only": "labels"}
	mustWrite(t, s, creation(inc))
	inc = ruled(acme, db)
	inc.Annotations = map[string]string{"only": "annotations"}
	mustWrite(t, s, creation(inc))
	mustWrite(t, s, creation(ruled(acme, web)))
}

// A change replaces all labels and annotations, independently of each other. Nil removes all, and
// is returned as nil.
func roundTripKeepsLabelsOfAChange(t *trial, s incident.Store) {
	st := mustCreate(t, s, ruled(acme, api), firing(critical))
	hostile, team, both := hostileLabels(), map[string]string{"team": "shop"}, map[string]string{"team": "Shop", "env": "prod"}
	for _, change := range []struct{ labels, annotations map[string]string }{
		{hostile[0], nil},
		{hostile[1], hostile[0]},
		{hostile[1], hostile[2]},
		{hostile[2], hostile[2]},
		{nil, hostile[2]},
		{nil, nil},
		{nil, team},
		{both, nil},
		{team, both},
		{both, team},
		{both, both},
		{nil, nil},
		{team, both},
	} {
		after := st
		after.Incident.Labels, after.Incident.Annotations = change.labels, change.annotations
		st = mustWrite(t, s, update(st, after))
	}
	mustComment(t, s, st.Incident.Key(), "text")
	wantRead(t, s, st)
	st = mustWrite(t, s, retitling(st, "Newer"))
	mustWrite(t, s, transition(st, incident.StatusClosed))
}

// dense returns n bytes of ASCII text that compression does not make much shorter. Different seeds
// have different texts.
func dense(seed string, n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		sum := sha256.Sum256(fmt.Append(nil, seed, i))
		b.WriteString(base64.RawURLEncoding.EncodeToString(sum[:]))
	}
	return b.String()[:n]
}

// longestLabels returns sets of labels of MaxLabelsSize bytes: a long value, long values that
// differ in the last byte, and the most labels with the longest names.
func longestLabels() []map[string]string {
	most := map[string]string{}
	for i := range incident.MaxLabels {
		most[dense("name", incident.MaxIDSize-2)+fmt.Sprintf("%02d", i)] = "1"
	}
	long := dense("value", incident.MaxLabelsSize-2)
	return []map[string]string{
		{"l": long + "a"},
		{"l": long + "b"},
		{"l": strings.Repeat("🔥", (incident.MaxLabelsSize-1)/4)},
		most,
	}
}

// The longest names and values, and the most labels and annotations, are kept and found.
func roundTripKeepsTheLongestLabels(t *trial, s incident.Store) {
	annotations := map[string]string{"l": dense("annotation", incident.MaxAnnotationsSize-incident.MaxAnnotations*9)}
	for i := range incident.MaxAnnotations - 1 {
		annotations[fmt.Sprint("name ", i)] = "1"
	}
	sets := longestLabels()
	for _, labels := range sets {
		inc := draft(acme)
		inc.Labels = labels
		inc.Annotations = annotations
		mustWrite(t, s, creation(inc))
	}
	wantFoundByLabels(t, s, sets)
	q := incident.IncidentQuery{OrganizationID: acme, Limit: everything}
	for _, name := range slices.Sorted(maps.Keys(sets[3])) {
		q.Labels = append(q.Labels, incident.Label{Name: name, Value: "1"})
	}
	wantEqual(t, "the incidents with all of 32 labels", identifiersOf(mustIncidents(t, s, q)), []int64{4})
	q.Labels[31].Value = "2"
	wantEqual(t, "the incidents with 31 of 32 labels", identifiersOf(mustIncidents(t, s, q)), []int64{})
}

// Concurrent creations keep the labels, the annotations and the response of each.
func roundTripKeepsLabelsUnderConcurrency(t *trial, s incident.Store) {
	const creators, each = 8, 5
	t.together(creators, func(i int) {
		for n := range each {
			name := fmt.Sprint(i, " of ", n)
			inc := draft(acme)
			inc.Title = name
			if (i+n)%4 > 0 {
				inc.Labels = map[string]string{"name": name, "creator": fmt.Sprint(i)}
				inc.Annotations = map[string]string{"annotation of": name}
				inc.Response, inc.DuplicateOf = &incident.Response{Assignee: incident.UserID(name)}, int64(1000*i+n+1)
			}
			applied, err := s.Apply(t.Context(), creation(inc))
			if err != nil {
				t.Errorf("Apply() of a creation = %v, want no error", err)
				return
			}
			inc.Identifier, inc.Version = applied.Incident.Identifier, 1
			wantEqual(t, "the incident that Apply returned", applied.Incident, inc)
			st, err := s.Load(t.Context(), inc.Key())
			wantEqual(t, "the error of Load", err, nil)
			wantEqual(t, "the incident", st.Incident, inc)
			q := incident.IncidentQuery{OrganizationID: acme, Labels: []incident.Label{{Name: "name", Value: name}}, Limit: everything}
			var want []incident.Incident
			if inc.Labels != nil {
				want = append(want, inc)
			}
			got, err := s.Incidents(t.Context(), q)
			wantEqual(t, "the error of Incidents", err, nil)
			wantEqual(t, "the incidents with a label of one", got, want)
		}
	})
}
