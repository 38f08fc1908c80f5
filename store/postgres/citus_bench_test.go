//go:build citus

package postgres_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// benchWriters are the goroutines that call at the same time, each for many organizations.
const benchWriters = 16

// BenchmarkCitus compares stores on Citus with plain tables of the same coordinator. The rounds of
// both alternate, so that a disturbance of the machine meets both; medians are reported.
func BenchmarkCitus(b *testing.B) {
	url, ctx := citusURL(b), b.Context()
	schema := fmt.Sprintf("incident_bench_%d", os.Getpid())
	pool := mustOpen(b, url, benchWriters)
	plain, spread := postgres.Options{Schema: schema + "_plain"}, postgres.Options{Schema: schema, Citus: true}
	b.Cleanup(func() {
		for _, name := range []string{plain.Schema, spread.Schema} {
			if _, err := pool.Exec("DROP SCHEMA " + name + " CASCADE"); err != nil {
				b.Error(err)
			}
		}
	})
	if err := postgres.Migrate(ctx, pool, &plain); err != nil {
		b.Fatal(err)
	}
	if err := postgres.MigrateCitus(ctx, pool, &spread); err != nil {
		b.Fatal(err)
	}
	for _, op := range benchOps {
		b.Run(op.name, func(b *testing.B) {
			sides := [2]*benchSide{newBenchSide(b, &plain, url), newBenchSide(b, &spread, url)}
			for round := range 7 {
				for _, side := range sides {
					rate := side.run(ctx, b, op.call, time.Second)
					if round > 0 { // the first warms up
						side.rates = append(side.rates, rate)
					}
				}
			}
			before, after := median(sides[0].rates), median(sides[1].rates)
			b.ReportMetric(before, "plain/s")
			b.ReportMetric(after, "citus/s")
			b.ReportMetric(after/before, "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// benchSide is a store with what its calls need.
type benchSide struct {
	store *postgres.Store
	m     incident.Manager
	keys  []incident.Key // one for each writer and organization
	calls atomic.Int64
	rates []float64
}

func newBenchSide(b *testing.B, opts *postgres.Options, url string) *benchSide {
	b.Helper()
	s := mustNew(b, mustOpen(b, url, benchWriters), opts)
	m, err := incident.New(s, nil)
	if err != nil {
		b.Fatal(err)
	}
	side := &benchSide{store: s, m: m}
	for n := range benchWriters {
		inc, err := m.Create(b.Context(), incident.NewIncident{OrganizationID: benchOrganization(n, 0), Title: "Errors", Projects: []incident.ProjectID{"p"}})
		if err != nil {
			b.Fatal(err)
		}
		side.keys = append(side.keys, inc.Key())
	}
	return side
}

func benchOrganization(writer int, call int64) incident.OrganizationID {
	return incident.OrganizationID(fmt.Sprintf("organization %d %d", writer, call%64))
}

var benchOps = []struct {
	name string
	call func(ctx context.Context, s *benchSide, writer int, call int64) error
}{
	{"Create", func(ctx context.Context, s *benchSide, writer int, call int64) error {
		_, err := s.m.Create(ctx, incident.NewIncident{
			OrganizationID: benchOrganization(writer, call), Title: "Errors", Projects: []incident.ProjectID{"p"},
		})
		return err
	}},
	{"Fire", func(ctx context.Context, s *benchSide, writer int, call int64) error {
		_, err := s.m.Fire(ctx, incident.Firing{
			Slot:  incident.Slot{OrganizationID: benchOrganization(writer, call), AlertRuleID: incident.AlertRuleID(fmt.Sprint(writer, " ", call)), ProjectID: "p"},
			Title: "Errors", TriggerID: "t", Severity: incident.StatusCritical,
		})
		return err
	}},
	{"Comment", func(ctx context.Context, s *benchSide, writer int, _ int64) error {
		_, err := s.m.Comment(ctx, s.keys[writer], incident.NewComment{UserID: "ada", Comment: "Looking"})
		return err
	}},
	{"Get", func(ctx context.Context, s *benchSide, writer int, _ int64) error {
		_, err := s.store.Load(ctx, s.keys[writer])
		return err
	}},
}

// run calls for a time, and returns the calls of a second.
func (s *benchSide) run(ctx context.Context, b *testing.B, call func(context.Context, *benchSide, int, int64) error, d time.Duration) float64 {
	var all sync.WaitGroup
	var n atomic.Int64
	start := time.Now()
	for writer := range benchWriters {
		all.Go(func() {
			for time.Since(start) < d {
				if err := call(ctx, s, writer, s.calls.Add(1)); err != nil {
					b.Error(err)
					return
				}
				n.Add(1)
			}
		})
	}
	all.Wait()
	return float64(n.Load()) / time.Since(start).Seconds()
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}
