package managertest

import (
	"context"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// Each planted fault of reports must make the check fail.
func TestModel_CatchesReports(t *testing.T) {
	for name, r := range map[string]reportingManager{
		"a zone off by an hour": {ask: func(f *incident.ReportFilter) {
			if f.Location != nil {
				_, offset := f.Start.In(f.Location).Zone()
				f.Location = time.FixedZone("late", offset-3600)
			}
		}},
		"a zone whose clocks never change": {ask: func(f *incident.ReportFilter) {
			if f.Location != nil {
				_, offset := f.Start.In(f.Location).Zone()
				f.Location = time.FixedZone("constant", offset)
			}
		}},
		"an end that is included":        {ask: func(f *incident.ReportFilter) { f.End = f.End.Add(time.Microsecond) }},
		"a start that is excluded":       {ask: func(f *incident.ReportFilter) { f.Start = f.Start.Add(time.Microsecond) }},
		"access that is ignored":         {ask: func(f *incident.ReportFilter) { f.Access = nil }},
		"labels that are ignored":        {ask: func(f *incident.ReportFilter) { f.Labels = nil }},
		"a mean that is rounded":         {alter: func(r *incident.Report) { r.Total.Closed.Mean = r.Total.Closed.Mean.Round(time.Millisecond) }},
		"a median that is the 95th":      {alter: func(r *incident.Report) { r.Total.Acknowledged.Median = r.Total.Acknowledged.P95 }},
		"active incidents of one status": {alter: func(r *incident.Report) { r.Active[incident.StatusOpen] += r.Active[incident.StatusWarning] }},
		"a day that is missing":          {alter: func(r *incident.Report) { r.Days = r.Days[1:] }},
	} {
		t.Run(name, func(t *testing.T) {
			mustFalsify(t, func(uint64) setup {
				return setup{store: memory.New(), cache: incident.NoCache, decorate: func(m incident.Manager) incident.Manager {
					r.Manager = m
					return &r
				}}
			})
		})
	}
}

// reportingManager alters the question or the answer of a report.
type reportingManager struct {
	incident.Manager
	ask   func(f *incident.ReportFilter)
	alter func(r *incident.Report)
}

func (m *reportingManager) Report(ctx context.Context, f incident.ReportFilter) (incident.Report, error) {
	asked := f
	if m.ask != nil {
		m.ask(&f)
	}
	r, err := m.Manager.Report(ctx, f)
	if err != nil {
		return r, err
	}
	if m.alter != nil {
		m.alter(&r)
	}
	// The bounds and their zones alone must not show the fault.
	in := func(t time.Time) time.Time {
		if asked.Location == nil {
			return t.UTC()
		}
		return t.In(asked.Location)
	}
	for i := range r.Days {
		r.Days[i].Start, r.Days[i].End = in(r.Days[i].Start), in(r.Days[i].End)
	}
	r.Total.Start, r.Total.End = in(cut(asked.Start)), in(cut(asked.End))
	r.Days[0].Start, r.Days[len(r.Days)-1].End = r.Total.Start, r.Total.End
	return r, nil
}
