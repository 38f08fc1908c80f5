package storetest

import (
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/incidentkit/incident"
)

// reportEqualsAModel compares the reports of random histories with numbers that are reckoned from
// the incidents and their activities. The dates are few, so that many are equal to each other and to
// the bounds.
func reportEqualsAModel(t *trial, s incident.ReportStore) {
	const incidents, reports = 40, 120
	rng := rand.New(rand.NewPCG(2024, 229))
	for range incidents {
		mustLive(t, s, rng, acme)
		if rng.IntN(3) == 0 {
			mustLive(t, s, rng, umbrella)
		}
	}
	all := mustReadAll(t, s, acme)
	for range reports {
		q := randomReport(rng)
		wantNumbers(t, s, q, reckon(all, q))
	}
}

// randomDate returns one of few dates.
func randomDate(rng *rand.Rand) time.Time {
	return minute(10 * rng.IntN(12)).Add(time.Duration(rng.IntN(3)-1) * time.Microsecond)
}

// mustLive creates an incident, and makes a few random changes.
func mustLive(t *trial, s incident.Store, rng *rand.Rand, org incident.OrganizationID) {
	t.Helper()
	inc := draft(org)
	inc.DateStarted = randomDate(rng).Add(-time.Hour)
	inc.Projects, inc.Labels = randomProjects(rng), randomLabels(rng)
	if len(inc.Projects) > 0 && rng.IntN(2) == 0 {
		inc.AlertRuleID = latency
		inc.QueryID = incident.QueryID(fmt.Sprint(rng.Int64())) // a slot of its own
	}
	st := mustCreate(t, s, inc)
	for range rng.IntN(10) {
		st = mustLiveOn(t, s, rng, st)
	}
}

// mustLiveOn makes a random change.
func mustLiveOn(t *trial, s incident.Store, rng *rand.Rand, st incident.State) incident.State {
	t.Helper()
	key, date := st.Incident.Key(), randomDate(rng)
	switch rng.IntN(10) {
	case 0, 1:
		mustAdd(t, s, key, incident.ActivityTypeAcknowledged, date)
	case 2:
		mustAdd(t, s, key, incident.ActivityTypeUnacknowledged, date)
	case 3, 4, 5:
		to := []incident.Status{incident.StatusOpen, incident.StatusClosed, incident.StatusWarning, incident.StatusCritical}[rng.IntN(4)]
		if rng.IntN(3) == 0 {
			to = incident.StatusClosed
		}
		if to != st.Incident.Status {
			return mustTurn(t, s, st, to, date)
		}
	case 6:
		if st.Incident.DateClosed == nil || !date.After(*st.Incident.DateClosed) {
			moved := st
			moved.Incident.DateStarted = date
			return mustChange(t, s, update(st, moved))
		}
	case 7:
		return mustChange(t, s, relabelling(st, randomLabels(rng)))
	case 8:
		if projects := randomProjects(rng); len(projects) > 0 || st.Incident.AlertRuleID == "" {
			return mustChange(t, s, reprojecting(st, projects...))
		}
	}
	return st
}

func randomProjects(rng *rand.Rand) []incident.ProjectID {
	return slices.DeleteFunc([]incident.ProjectID{api, db, web}, func(incident.ProjectID) bool { return rng.IntN(2) == 0 })
}

func randomLabels(rng *rand.Rand) map[string]string {
	return []map[string]string{nil, {"team": "shop"}, {"team": "shop", "env": "prod"}, {"env": "prod"}, {"team": "data"}}[rng.IntN(5)]
}

// randomReport returns a query of acme.
func randomReport(rng *rand.Rand) incident.ReportQuery {
	q := incident.ReportQuery{OrganizationID: acme}
	for len(q.Bounds) < 2 {
		for range 2 + rng.IntN(5) {
			q.Bounds = append(q.Bounds, randomDate(rng))
		}
		slices.SortFunc(q.Bounds, time.Time.Compare)
		q.Bounds = slices.Compact(q.Bounds)
	}
	if rng.IntN(3) == 0 {
		q.Access = &incident.ProjectAccess{Projects: randomProjects(rng)}
	}
	if rng.IntN(3) == 0 {
		q.Projects = randomProjects(rng)
	}
	if rng.IntN(4) == 0 {
		q.AlertRuleID = latency
	}
	if rng.IntN(3) == 0 {
		q.Labels = [][]incident.Label{
			{{Name: "team", Value: "shop"}}, {{Name: "env", Value: "prod"}}, {{Name: "env", Value: "prod"}, {Name: "team", Value: "shop"}},
		}[rng.IntN(3)]
	}
	return q
}

// lived is an incident with its activities in order of sequence.
type lived struct {
	incident.Incident
	activities []incident.Activity
}

// mustReadAll returns all incidents of an organization.
func mustReadAll(t *trial, s incident.Store, org incident.OrganizationID) (all []lived) {
	t.Helper()
	for id := int64(1); ; id++ {
		key := incident.Key{OrganizationID: org, Identifier: id}
		st, err := s.Load(t.Context(), key)
		if errors.Is(err, incident.ErrNotFound) {
			return all
		}
		if err != nil {
			t.Fatalf("Load(%s) = %v, want no error", key, err)
		}
		all = append(all, lived{st.Incident, mustActivities(t, s, key, incident.ActivityQuery{Limit: everything})})
	}
}

// reckon computes the numbers of a query as the contract says them.
func reckon(all []lived, q incident.ReportQuery) incident.ReportNumbers {
	all = slices.DeleteFunc(slices.Clone(all), func(l lived) bool { return !isReported(l.Incident, q) })
	first, last := q.Bounds[0], q.Bounds[len(q.Bounds)-1]
	n := incident.ReportNumbers{Total: reckonPeriod(all, first, last), Active: map[incident.Status]int{}}
	for i, start := range q.Bounds[:len(q.Bounds)-1] {
		n.Periods = append(n.Periods, reckonPeriod(all, start, q.Bounds[i+1]))
	}
	for _, l := range all {
		if !l.DateStarted.Before(last) || l.DateClosed != nil && l.DateClosed.Before(last) {
			continue
		}
		status := l.Status
		for _, a := range slices.Backward(l.activities) {
			if a.Type == incident.ActivityTypeStatusChange && !a.DateAdded.Before(last) {
				status = a.PreviousValue
			}
		}
		if status != incident.StatusClosed {
			n.Active[status]++
		}
	}
	return n
}

func isReported(inc incident.Incident, q incident.ReportQuery) bool {
	affects := func(projects []incident.ProjectID) bool {
		return slices.ContainsFunc(inc.Projects, func(p incident.ProjectID) bool { return slices.Contains(projects, p) })
	}
	return (len(q.Projects) == 0 || affects(q.Projects)) &&
		(q.Access == nil || len(inc.Projects) == 0 || affects(q.Access.Projects)) &&
		(q.AlertRuleID == "" || inc.AlertRuleID == q.AlertRuleID) && hasLabels(inc, q.Labels)
}

// reckonPeriod computes the numbers of the time from start until before end.
func reckonPeriod(all []lived, start, end time.Time) (n incident.PeriodNumbers) {
	isWithin := func(t time.Time) bool { return !t.Before(start) && t.Before(end) }
	var acknowledged, closed []int64
	for _, l := range all {
		if isWithin(l.DateStarted) {
			n.Opened++
		}
		if l.DateClosed != nil && isWithin(*l.DateClosed) {
			closed = append(closed, l.DateClosed.UnixMicro()-l.DateStarted.UnixMicro())
		}
		isFirst := func(a incident.Activity) bool { return a.Type == incident.ActivityTypeAcknowledged }
		if i := slices.IndexFunc(l.activities, isFirst); i >= 0 && isWithin(l.activities[i].DateAdded) {
			acknowledged = append(acknowledged, max(0, l.activities[i].DateAdded.UnixMicro()-l.DateStarted.UnixMicro()))
		}
	}
	n.Acknowledged, n.Closed = reckonDurations(acknowledged), reckonDurations(closed)
	return n
}

func reckonDurations(durations []int64) (n incident.DurationNumbers) {
	if n.Count = len(durations); n.Count == 0 {
		return n
	}
	sum := new(big.Int)
	for _, d := range durations {
		sum.Add(sum, big.NewInt(d))
	}
	n.Mean = sum.Div(sum, big.NewInt(int64(n.Count))).Int64()
	n.Median, n.P95 = leastOf(durations, 50), leastOf(durations, 95)
	return n
}

// leastOf returns the least duration that at least percent of the durations do not exceed.
func leastOf(durations []int64, percent int) int64 {
	var fit []int64
	for _, d := range durations {
		below := 0
		for _, other := range durations {
			if other <= d {
				below++
			}
		}
		if below*100 >= len(durations)*percent {
			fit = append(fit, d)
		}
	}
	return slices.Min(fit)
}
