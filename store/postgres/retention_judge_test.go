//go:build unix

package postgres_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/managertest"
)

// retentionVerdict counts what must not happen under load, and what makes a run meaningful.
type retentionVerdict struct {
	Deleted, Reads, Writes, Creations int
	Hits, Resets                      uint64

	Late      int // found in a cache later than a second after the deletion
	Dead      int // found in the store, or written, after the deletion
	Own       int // found by the deleting process after its Purge had returned
	Back      int // found by a process to which it was gone before
	Repeated  int // identifiers that were assigned twice
	Lost      int // activities that were not delivered
	Invented  int // deliveries of no activity
	Unordered int
}

// isWrong reports whether something happened that must not happen.
func (v *retentionVerdict) isWrong() bool {
	return v.Late+v.Dead+v.Own+v.Back+v.Repeated+v.Lost+v.Invented+v.Unordered > 0
}

// judge fails the test if the processes saw what they must not see.
func (l *load) judge(t *testing.T) {
	t.Helper()
	v := retentionVerdict{Deleted: len(l.gone)}
	var ops []managertest.Operation
	var all []sighting
	for i, lines := range l.lines {
		for _, line := range lines {
			switch {
			case line.Operation != nil:
				ops = append(ops, *line.Operation)
			case line.Sighting != nil:
				all = append(all, *line.Sighting)
			}
		}
		v.Hits += l.counts[i].Load().Hits
	}
	v.Resets = l.counts[1].Load().Resets
	examples := v.sightings(all, l.gone)
	l.judgeIdentifiers(t, &v)
	l.judgeNotifications(t, &v)
	if v.isWrong() {
		t.Errorf("%+v\n%v", v, examples)
	}
	if v.Deleted < 100 || v.Reads < enoughRetentionReads || v.Writes < 100 || v.Creations < 100 || v.Hits < enoughHits || v.Resets == 0 {
		t.Errorf("the run shows nothing: %+v", v)
	}
	t.Logf("%+v", v)
	report, err := managertest.CheckTogether(t.Context(), mustManager(t, l.store), l.store, ops, t.ArtifactDir())
	if err != nil {
		t.Error(err)
	}
	t.Logf("%+v", report)
}

// sightings judges the calls of all processes, and returns examples of wrong answers.
func (v *retentionVerdict) sightings(all []sighting, gone map[incident.Key]*deletion) (examples []string) {
	type of struct {
		process int
		key     incident.Key
	}
	missed := map[of]int64{}     // the first return of a call to which a deleted incident was gone
	returns := map[int][]int64{} // of the calls of Purge for calledOrg, by process
	for _, s := range all {
		key := incident.Key{OrganizationID: s.Org, Identifier: s.Identifier}
		if s.Kind == purged {
			returns[s.Process] = append(returns[s.Process], s.Return)
		} else if d := gone[key]; !s.Found && d != nil && s.Return > d.from {
			first, ok := missed[of{s.Process, key}]
			if !ok || s.Return < first {
				missed[of{s.Process, key}] = s.Return
			}
		}
	}
	for _, calls := range returns {
		slices.Sort(calls)
	}
	for _, s := range all {
		switch s.Kind {
		case cachedRead, storedRead:
			v.Reads++
		case created:
			v.Creations++
		case written:
			v.Writes++
		}
		key := incident.Key{OrganizationID: s.Org, Identifier: s.Identifier}
		d := gone[key]
		if !s.Found || d == nil || s.Kind == purged {
			continue
		}
		wrong := ""
		count := func(n *int, reason string) {
			*n++
			wrong = cmp.Or(wrong, reason)
		}
		if s.Kind == cachedRead && s.Call > d.until+int64(time.Second) {
			count(&v.Late, "late")
		}
		if s.Kind != cachedRead && s.Call > d.until {
			count(&v.Dead, "dead")
		}
		if calls := returns[s.Process]; s.Org == calledOrg && len(calls) > 0 {
			// The Purge that deleted the incident is the first to return after that.
			i, _ := slices.BinarySearch(calls, d.from)
			if i < len(calls) && s.Call > calls[i] {
				count(&v.Own, "own")
			}
		}
		if first, ok := missed[of{s.Process, key}]; ok && s.Call > first {
			count(&v.Back, "back")
		}
		if wrong != "" && len(examples) < 10 {
			examples = append(examples, fmt.Sprintf("%s: %s %s by process %d, %v after the deletion\n",
				wrong, s.Kind, key, s.Process, time.Duration(s.Call-d.until)))
		}
	}
	return examples
}

func (l *load) judgeIdentifiers(t *testing.T, v *retentionVerdict) {
	t.Helper()
	mustDo(t, l.pool.Get(&v.Repeated, `SELECT count(*) FROM (SELECT FROM ledger_born GROUP BY org, id HAVING count(*) > 1) again`))
}

// judgeNotifications compares the deliveries with the activities of the ledger.
func (l *load) judgeNotifications(t *testing.T, v *retentionVerdict) {
	t.Helper()
	var ledger []struct {
		Org      incident.OrganizationID
		ID       int64
		Sequence int64
		UUID     string
	}
	mustDo(t, l.pool.Select(&ledger, `SELECT org, id, sequence, uuid FROM ledger_activity`))
	// A creation that is repeated after its incident was deleted makes another incident with the
	// same UUIDs.
	type of struct{ key, uuid string }
	came, last := map[of]bool{}, map[string]int64{}
	for _, d := range l.inbox.all {
		if came[of{d.key, d.uuid}] {
			continue
		}
		came[of{d.key, d.uuid}] = true
		if d.sequence != last[d.key]+1 {
			v.Unordered++
		}
		last[d.key] = d.sequence
	}
	for _, a := range ledger {
		id := of{incident.Key{OrganizationID: a.Org, Identifier: a.ID}.String(), a.UUID}
		if !came[id] {
			v.Lost++
		}
		delete(came, id)
	}
	// The organizations of the random calls are not in the ledger.
	for id := range came {
		if key, err := incident.ParseKey(id.key); err == nil && (key.OrganizationID == passingOrg || key.OrganizationID == calledOrg) {
			v.Invented++
		}
	}
}
