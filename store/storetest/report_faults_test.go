package storetest

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/incidentkit/incident"
)

func askedFor(query func(q *incident.ReportQuery)) func(s incident.ReportStore) incident.ReportStore {
	return reckoning{query: query}.plant
}

func takenFrom(alter func(l *lived, q incident.ReportQuery)) func(s incident.ReportStore) incident.ReportStore {
	return reckoning{incident: alter}.plant
}

func answeredWith(alter func(n *incident.ReportNumbers, all []lived, q incident.ReportQuery)) func(s incident.ReportStore) incident.ReportStore {
	return reckoning{answer: alter}.plant
}

// reportQueryFaults answer another query.
func reportQueryFaults() []reportFault {
	bounds := func(alter func(i, last int) time.Duration) func(q *incident.ReportQuery) {
		return func(q *incident.ReportQuery) {
			for i := range q.Bounds {
				q.Bounds[i] = q.Bounds[i].Add(alter(i, len(q.Bounds)-1))
			}
		}
	}
	const micro = time.Microsecond
	events := []string{"CountsOpenings", "CountsClosings", "CountsFirstAcknowledgements", "EqualsAModel"}
	conditions := []string{"MeetsConditions", "EqualsAModel"}
	return []reportFault{
		{"BoundsAreLate", askedFor(bounds(func(int, int) time.Duration { return micro })), events},
		{"BoundsAreEarly", askedFor(bounds(func(int, int) time.Duration { return -micro })), events},
		{"BoundsAreAnHourLate", askedFor(bounds(func(int, int) time.Duration { return time.Hour })), append(events, "CountsActive")},
		{"LastBoundIsIncluded", askedFor(bounds(func(i, last int) time.Duration { return time.Duration(i/last) * micro })), append(events, "CountsActive")},
		{"FirstBoundIsExcluded", askedFor(bounds(func(i, _ int) time.Duration { return time.Duration(1/(i+1)) * micro })), events},
		{"InnerBoundsAreLate", askedFor(bounds(func(i, last int) time.Duration { return time.Duration(min(i, 1)-i/last) * micro })), events},
		{"AccessIsIgnored", askedFor(func(q *incident.ReportQuery) { q.Access = nil }), append(conditions, "MeetsAllConditions", "MayBeZero")},
		{"AccessToNothingIsIgnored", askedFor(func(q *incident.ReportQuery) {
			if q.Access != nil && len(q.Access.Projects) == 0 {
				q.Access = nil
			}
		}), conditions},
		{"AccessIsIgnoredBesideProjects", askedFor(func(q *incident.ReportQuery) {
			if len(q.Projects) > 0 {
				q.Access = nil
			}
		}), []string{"MeetsAllConditions", "EqualsAModel"}},
		{"ProjectsAreIgnored", askedFor(func(q *incident.ReportQuery) { q.Projects = nil }), append(conditions, "FollowsChanges")},
		{"ProjectsAreIgnoredBesideLabels", askedFor(func(q *incident.ReportQuery) {
			if len(q.Labels) > 0 {
				q.Projects = nil
			}
		}), []string{"MeetsAllConditions", "FollowsChanges"}},
		{"RuleIsIgnored", askedFor(func(q *incident.ReportQuery) { q.AlertRuleID = "" }), append(conditions, "MayBeZero")},
		{"LabelsAreIgnored", askedFor(func(q *incident.ReportQuery) { q.Labels = nil }), append(conditions, "MayBeZero", "FollowsChanges")},
		{"OneLabelIsEnough", askedFor(func(q *incident.ReportQuery) { q.Labels = q.Labels[:min(len(q.Labels), 1)] }), conditions},
	}
}

// reportEventFaults count other events.
func reportEventFaults() []reportFault {
	acknowledgements := []string{"CountsFirstAcknowledgements", "EqualsAModel"}
	const acknowledged = incident.ActivityTypeAcknowledged
	isOther := func(a incident.Activity) bool { return a.Type != acknowledged }
	sorted := func(typ incident.ActivityType) func(l *lived, _ incident.ReportQuery) {
		return func(l *lived, _ incident.ReportQuery) {
			of := slices.DeleteFunc(slices.Clone(l.activities), func(a incident.Activity) bool { return a.Type != typ })
			slices.SortStableFunc(of, func(a, b incident.Activity) int { return a.DateAdded.Compare(b.DateAdded) })
			l.activities = append(of, slices.DeleteFunc(l.activities, func(a incident.Activity) bool { return a.Type == typ })...)
		}
	}
	return []reportFault{
		{"LastAcknowledgementCounts", takenFrom(func(l *lived, _ incident.ReportQuery) { slices.Reverse(l.activities) }), acknowledgements},
		{"EarliestAcknowledgementCounts", takenFrom(sorted(acknowledged)), acknowledgements},
		{"FirstAcknowledgementWithinTheReportCounts", takenFrom(func(l *lived, q incident.ReportQuery) {
			l.activities = slices.DeleteFunc(l.activities, func(a incident.Activity) bool {
				return !isOther(a) && (a.DateAdded.Before(q.Bounds[0]) || !a.DateAdded.Before(q.Bounds[len(q.Bounds)-1]))
			})
		}), acknowledgements},
		{"EachAcknowledgementCounts", answeredWith(func(n *incident.ReportNumbers, all []lived, _ incident.ReportQuery) {
			for _, l := range all {
				n.Total.Acknowledged.Count += max(0, len(slices.DeleteFunc(slices.Clone(l.activities), isOther))-1)
			}
		}), append(acknowledgements, "SeesItsTransaction")},
		{"WithdrawingIsAcknowledging", takenFrom(func(l *lived, _ incident.ReportQuery) {
			for i := range l.activities {
				if l.activities[i].Type == incident.ActivityTypeUnacknowledged {
					l.activities[i].Type = acknowledged
				}
			}
		}), []string{"IgnoresOtherActivities", "EqualsAModel"}},
		{"AcknowledgementsOfTheResponse", takenFrom(func(l *lived, _ incident.ReportQuery) {
			if l.Response == nil || l.Response.DateAcknowledged == nil {
				l.activities = slices.DeleteFunc(l.activities, func(a incident.Activity) bool { return !isOther(a) })
			}
		}), acknowledgements},
		{"AcknowledgementsOfActiveIncidents", takenFrom(func(l *lived, _ incident.ReportQuery) {
			if !l.Status.Active() {
				l.activities = slices.DeleteFunc(l.activities, func(a incident.Activity) bool { return !isOther(a) })
			}
		}), acknowledgements},
		{"DurationsMayBeNegative", answeredWith(func(n *incident.ReportNumbers, all []lived, _ incident.ReportQuery) {
			for _, l := range all {
				if i := slices.IndexFunc(l.activities, func(a incident.Activity) bool { return !isOther(a) }); i >= 0 && l.activities[i].DateAdded.Before(l.DateStarted) {
					n.Total.Acknowledged.Mean--
				}
			}
		}), acknowledgements},
		{"OpeningsOfActiveIncidents", answeredWith(func(n *incident.ReportNumbers, all []lived, q incident.ReportQuery) {
			open := slices.DeleteFunc(all, func(l lived) bool { return !l.Status.Active() })
			n.Total.Opened = reckon(open, q).Total.Opened
		}), []string{"CountsOpenings", "CountsClosings", "EqualsAModel"}},
		{"ClosingsOfTheOpened", answeredWith(func(n *incident.ReportNumbers, all []lived, q incident.ReportQuery) {
			opened := slices.DeleteFunc(all, func(l lived) bool { return l.DateStarted.Before(q.Bounds[0]) })
			n.Total.Closed = reckon(opened, q).Total.Closed
		}), []string{"CountsClosings", "FollowsChanges", "EqualsAModel"}},
		{"UndoneClosingsCount", takenFrom(func(l *lived, _ incident.ReportQuery) {
			for _, a := range l.activities {
				if a.Type == incident.ActivityTypeStatusChange && a.Value == incident.StatusClosed && l.DateClosed == nil {
					l.DateClosed = new(a.DateAdded)
				}
			}
		}), []string{"FollowsChanges", "EqualsAModel"}},
		{"ActiveNow", takenFrom(func(l *lived, q incident.ReportQuery) {
			if l.activities = slices.DeleteFunc(l.activities, func(a incident.Activity) bool { return a.Type == incident.ActivityTypeStatusChange }); !l.Status.Active() {
				l.Status = incident.StatusOpen
			}
		}), []string{"CountsActiveByTheStatusThen", "EqualsAModel"}},
		{"ActiveByTheEarliestChange", takenFrom(sorted(incident.ActivityTypeStatusChange)), []string{"CountsActiveByTheStatusThen", "EqualsAModel"}},
		{"ActiveByTheLatestChange", takenFrom(func(l *lived, _ incident.ReportQuery) {
			slices.SortStableFunc(l.activities, func(a, b incident.Activity) int { return b.DateAdded.Compare(a.DateAdded) })
		}), []string{"CountsActiveByTheStatusThen", "EqualsAModel"}},
		{"ChangesAtTheBoundAreBefore", takenFrom(func(l *lived, q incident.ReportQuery) {
			l.activities = slices.DeleteFunc(l.activities, func(a incident.Activity) bool {
				return a.Type == incident.ActivityTypeStatusChange && a.DateAdded.Equal(q.Bounds[len(q.Bounds)-1])
			})
		}), []string{"CountsActiveByTheStatusThen", "EqualsAModel"}},
		{"AnyChangeIsOfTheStatus", takenFrom(func(l *lived, _ incident.ReportQuery) {
			for i := range l.activities {
				if l.activities[i].PreviousValue != 0 {
					l.activities[i].Type = incident.ActivityTypeStatusChange
				}
			}
		}), []string{"IgnoresOtherActivities"}},
	}
}

// reportNumberFaults compute other numbers of the same events.
func reportNumberFaults() []reportFault {
	durations := []string{"SummarizesDurations", "EqualsAModel"}
	closings := func(compute func(sorted []int64) incident.DurationNumbers) func(s incident.ReportStore) incident.ReportStore {
		return answeredWith(func(n *incident.ReportNumbers, all []lived, q incident.ReportQuery) {
			var closed []int64
			for _, l := range all {
				if l.DateClosed != nil && !l.DateClosed.Before(q.Bounds[0]) && l.DateClosed.Before(q.Bounds[len(q.Bounds)-1]) {
					closed = append(closed, l.DateClosed.UnixMicro()-l.DateStarted.UnixMicro())
				}
			}
			if slices.Sort(closed); len(closed) > 0 {
				n.Total.Closed = compute(closed)
			}
		})
	}
	with := func(alter func(n *incident.DurationNumbers, sorted []int64)) func(s incident.ReportStore) incident.ReportStore {
		return closings(func(sorted []int64) incident.DurationNumbers {
			n := reckonDurations(sorted)
			alter(&n, sorted)
			return n
		})
	}
	return []reportFault{
		{"MeanIsRounded", with(func(n *incident.DurationNumbers, sorted []int64) {
			sum := float64(0)
			for _, d := range sorted {
				sum += float64(d)
			}
			n.Mean = int64(math.Round(sum / float64(len(sorted))))
		}), durations},
		{"MedianIsTheUpper", with(func(n *incident.DurationNumbers, sorted []int64) { n.Median = sorted[len(sorted)/2] }), append(durations, "SummarizesTheWholeTime")},
		{"MedianIsInterpolated", with(func(n *incident.DurationNumbers, sorted []int64) {
			n.Median = (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
		}), append(durations, "SummarizesTheWholeTime")},
		{"RankIsRoundedDown", with(func(n *incident.DurationNumbers, sorted []int64) { n.P95 = sorted[max(len(sorted)*95/100-1, 0)] }), durations},
		{"RankIsAnIndex", with(func(n *incident.DurationNumbers, sorted []int64) {
			n.P95 = sorted[min(len(sorted)*95/100, len(sorted)-1)]
		}), []string{"SummarizesDurations"}},
		{"P95IsTheLongest", with(func(n *incident.DurationNumbers, sorted []int64) { n.P95 = sorted[len(sorted)-1] }), []string{"SummarizesDurations"}},
		{"SumOverflows", with(func(n *incident.DurationNumbers, sorted []int64) {
			sum := int64(0)
			for _, d := range sorted {
				sum += d
			}
			n.Mean = sum / int64(len(sorted))
		}), []string{"MaySpanCenturies"}},
		{"DurationsSaturate", with(func(n *incident.DurationNumbers, _ []int64) { n.P95 = min(n.P95, math.MaxInt64/1000) }), []string{"MaySpanCenturies"}},
		{"TotalOfThePeriods", answeredWith(func(n *incident.ReportNumbers, _ []lived, _ incident.ReportQuery) {
			n.Total.Closed.Median = 0
			for _, p := range n.Periods {
				n.Total.Closed.Median += p.Closed.Median * int64(p.Closed.Count) / int64(max(n.Total.Closed.Count, 1))
			}
		}), []string{"SummarizesTheWholeTime", "EqualsAModel"}},
		{"EmptyPeriodsAreMissing", answeredWith(func(n *incident.ReportNumbers, _ []lived, _ incident.ReportQuery) {
			n.Periods = slices.DeleteFunc(n.Periods, func(p incident.PeriodNumbers) bool { return p == incident.PeriodNumbers{} })
		}), []string{"MayBeZero", "HasManyPeriods", "EqualsAModel"}},
		{"HundredPeriods", answeredWith(func(n *incident.ReportNumbers, _ []lived, _ incident.ReportQuery) {
			n.Periods = n.Periods[:min(len(n.Periods), 100)]
		}), []string{"HasManyPeriods"}},
	}
}

// reportStoreFaults break a promise for all methods.
func reportStoreFaults() []reportFault {
	return []reportFault{
		{"OtherOrganizationsCount", reporting(otherOrganizationsCount), []string{
			"IsOfTheOrganization", "MeetsConditions", "EqualsAModel",
		}},
		{"UnknownIsNotFound", reporting(unknownIsNotFound), []string{"MayBeZero"}},
		{"NothingFromOutsideATx", reportFromOutsideATx, []string{"SeesItsTransaction"}},
		{"ReportIsTwoReads", reporting(reportIsTwoReads), []string{"IsOneRead"}},
		{"FirstLabelsCount", firstLabelsCount, []string{"FollowsChanges"}},
		{"DeletedIncidentsCount", deletedIncidentsCount, []string{"OmitsTheDeleted"}},
		{"ReportIsKept", reportIsKept, []string{"LeavesTheQueryAlone"}},
		{"ReportOverwritesTheQuery", reporting(reportOverwritesTheQuery), []string{"LeavesTheQueryAlone"}},
		{"ReportIgnoresTheContext", reporting(func(s incident.ReportStore) reportFunc {
			return func(ctx context.Context, q incident.ReportQuery) (incident.ReportNumbers, error) {
				return s.Report(context.WithoutCancel(ctx), q)
			}
		}), []string{"ObeysTheContext"}},
	}
}

func otherOrganizationsCount(s incident.ReportStore) reportFunc {
	return func(ctx context.Context, q incident.ReportQuery) (incident.ReportNumbers, error) {
		all, err := readAll(ctx, s, acme)
		if err == nil {
			var more []lived
			more, err = readAll(ctx, s, umbrella)
			all = append(all, more...)
		}
		return reckon(all, q), err
	}
}

func unknownIsNotFound(s incident.ReportStore) reportFunc {
	return func(ctx context.Context, q incident.ReportQuery) (incident.ReportNumbers, error) {
		if _, err := s.Load(ctx, incident.Key{OrganizationID: q.OrganizationID, Identifier: 1}); err != nil {
			return incident.ReportNumbers{}, err
		}
		return s.Report(ctx, q)
	}
}

// reportIsTwoReads reads the active incidents later.
func reportIsTwoReads(s incident.ReportStore) reportFunc {
	return func(ctx context.Context, q incident.ReportQuery) (incident.ReportNumbers, error) {
		n, err := s.Report(ctx, q)
		if err != nil {
			return n, err
		}
		pause()
		later, err := s.Report(ctx, q)
		n.Active = later.Active
		return n, err
	}
}

func reportOverwritesTheQuery(s incident.ReportStore) reportFunc {
	return func(ctx context.Context, q incident.ReportQuery) (incident.ReportNumbers, error) {
		n, err := s.Report(ctx, q)
		slices.Reverse(q.Projects)
		return n, err
	}
}

// reportFromOutsideATx reports as before the transaction.
func reportFromOutsideATx(s incident.ReportStore) incident.ReportStore {
	return &brokenReport{s, s.Report, func(ctx context.Context, fn func(tx incident.Store) error) error {
		return s.InTx(ctx, func(tx incident.Store) error {
			own := tx.(incident.ReportStore)
			var before registry[int, incident.ReportNumbers]
			return fn(&brokenReport{own, func(ctx context.Context, q incident.ReportQuery) (incident.ReportNumbers, error) {
				n, err := own.Report(ctx, q)
				return once(&before, len(q.Bounds), n), err
			}, own.InTx})
		})
	}}
}

// firstLabelsCount reports incidents under the labels of their creation.
func firstLabelsCount(s incident.ReportStore) incident.ReportStore {
	var labels registry[incident.Key, map[string]string]
	return takenFrom(func(l *lived, _ incident.ReportQuery) { l.Labels = once(&labels, l.Key(), l.Labels) })(s)
}

// reportIsKept returns the same memory for the same bounds.
func reportIsKept(s incident.ReportStore) incident.ReportStore {
	var all registry[time.Time, incident.ReportNumbers]
	return &brokenReport{s, func(ctx context.Context, q incident.ReportQuery) (incident.ReportNumbers, error) {
		n, err := s.Report(ctx, q)
		return once(&all, q.Bounds[0], n), err
	}, s.InTx}
}

// deletedReports is a store whose reports count what a purge has deleted.
type deletedReports struct {
	*brokenReport
	base    incident.RetentionStore
	deleted []lived
}

func deletedIncidentsCount(s incident.ReportStore) incident.ReportStore {
	d := &deletedReports{base: s.(incident.RetentionStore)}
	d.brokenReport = &brokenReport{s, func(ctx context.Context, q incident.ReportQuery) (incident.ReportNumbers, error) {
		all, err := readAll(ctx, s, q.OrganizationID)
		return reckon(append(all, d.deleted...), q), err
	}, s.InTx}
	return d
}

func (d *deletedReports) Purge(ctx context.Context, q incident.PurgeQuery) (incident.PurgeBatch, error) {
	all, err := readAll(ctx, d.base, q.OrganizationID)
	if err != nil {
		return incident.PurgeBatch{}, err
	}
	d.deleted = append(d.deleted, all...)
	return d.base.Purge(ctx, q)
}

func (d *deletedReports) EraseUser(ctx context.Context, q incident.EraseQuery) (incident.EraseBatch, error) {
	return d.base.EraseUser(ctx, q)
}

func (d *deletedReports) DeleteOrganization(ctx context.Context, org incident.OrganizationID, limit int) (incident.DeleteBatch, error) {
	return d.base.DeleteOrganization(ctx, org, limit)
}

func (d *deletedReports) Organizations(ctx context.Context, after incident.OrganizationID, limit int) ([]incident.OrganizationID, error) {
	return d.base.Organizations(ctx, after, limit)
}

func (d *deletedReports) Lease(ctx context.Context, task, holder string, length time.Duration) (incident.TaskLease, error) {
	return d.base.Lease(ctx, task, holder, length)
}
