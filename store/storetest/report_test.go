package storetest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// The broken reports are made of a store that keeps the contract.
func TestRunReport_Memory(t *testing.T) {
	RunReport(t, func(*testing.T) incident.ReportStore { return memory.New() })
}

// reportFault is a store whose reports break the contract in one way, with the cases that must
// reject it.
type reportFault struct {
	name  string
	plant func(s incident.ReportStore) incident.ReportStore
	cases []string
}

func reportFaults() []reportFault {
	return slices.Concat(reportQueryFaults(), reportEventFaults(), reportNumberFaults(), reportStoreFaults())
}

func TestRunReport_RejectsBrokenReports(t *testing.T) {
	byName := reportCasesByName()
	for _, f := range reportFaults() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			wantRejected(t, byName, f.cases, func() incident.ReportStore { return f.plant(memory.New()) })
		})
	}
}

func TestRunReport_EachCaseRejectsAReport(t *testing.T) {
	var named []string
	for _, f := range reportFaults() {
		named = append(named, f.cases...)
	}
	wantEachNamed(t, reportCasesByName(), named)
}

// The faults are made of the model, which is no fault.
func TestRunReport_AcceptsTheModel(t *testing.T) {
	RunReport(t, func(*testing.T) incident.ReportStore { return reckoning{}.plant(memory.New()) })
}

func reportCasesByName() map[string]func(*trial, incident.ReportStore) {
	byName := map[string]func(*trial, incident.ReportStore){}
	for _, c := range reportContract() {
		byName[c.name] = c.run
	}
	return byName
}

// reportFunc is the signature of Report.
type reportFunc func(ctx context.Context, q incident.ReportQuery) (incident.ReportNumbers, error)

// brokenReport is a store with Report replaced.
type brokenReport struct {
	incident.ReportStore
	report reportFunc
	inTx   func(ctx context.Context, fn func(tx incident.Store) error) error
}

func (b *brokenReport) Report(ctx context.Context, q incident.ReportQuery) (incident.ReportNumbers, error) {
	return b.report(ctx, q)
}

func (b *brokenReport) InTx(ctx context.Context, fn func(tx incident.Store) error) error {
	return b.inTx(ctx, fn)
}

// reporting replaces Report, in transactions too.
func reporting(replace func(s incident.ReportStore) reportFunc) func(s incident.ReportStore) incident.ReportStore {
	var plant func(s incident.ReportStore) incident.ReportStore
	plant = func(s incident.ReportStore) incident.ReportStore {
		return &brokenReport{s, replace(s), func(ctx context.Context, fn func(tx incident.Store) error) error {
			return s.InTx(ctx, func(tx incident.Store) error { return fn(plant(tx.(incident.ReportStore))) })
		}}
	}
	return plant
}

// reckoning is a report that reckons as the model does, with parts replaced.
type reckoning struct {
	query    func(q *incident.ReportQuery)
	incident func(l *lived, q incident.ReportQuery)
	answer   func(n *incident.ReportNumbers, all []lived, q incident.ReportQuery)
}

func (r reckoning) plant(s incident.ReportStore) incident.ReportStore {
	return reporting(func(s incident.ReportStore) reportFunc {
		return func(ctx context.Context, q incident.ReportQuery) (incident.ReportNumbers, error) {
			q.Bounds = slices.Clone(q.Bounds)
			if r.query != nil {
				r.query(&q)
			}
			all, err := readAll(ctx, s, q.OrganizationID)
			if err != nil {
				return incident.ReportNumbers{}, err
			}
			if r.incident != nil {
				for i := range all {
					r.incident(&all[i], q)
				}
			}
			n := reckon(all, q)
			if r.answer != nil {
				r.answer(&n, slices.DeleteFunc(all, func(l lived) bool { return !isReported(l.Incident, q) }), q)
			}
			return n, nil
		}
	})(s)
}

// readAll reads all incidents of an organization at one moment.
func readAll(ctx context.Context, s incident.Store, org incident.OrganizationID) (all []lived, err error) {
	err = s.InTx(ctx, func(tx incident.Store) error {
		for id := int64(1); ; id++ {
			key := incident.Key{OrganizationID: org, Identifier: id}
			st, err := tx.Load(ctx, key)
			if errors.Is(err, incident.ErrNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			log, err := tx.Activities(ctx, key, incident.ActivityQuery{Limit: everything})
			if err != nil {
				return err
			}
			all = append(all, lived{st.Incident, log.Activities})
		}
	})
	return all, err
}
