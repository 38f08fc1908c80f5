//go:build citus

package postgres_test

import (
	"context"
	"errors"
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

// BenchmarkCitus compares stores on Citus, through the coordinator and with routes to the workers, with
// plain tables of the same coordinator. The rounds of all alternate, so that a disturbance of the
// machine meets all; medians are reported. A row that is below its bar says so. Get stands beside a bare
// SELECT by primary key of a plain table, too.
func BenchmarkCitus(b *testing.B) {
	url, ctx := citusURL(b), b.Context()
	schema := fmt.Sprintf("incident_bench_%d", os.Getpid())
	pool := mustOpen(b, url, benchWriters)
	plain, spread := postgres.Options{Schema: schema + "_plain"}, postgres.Options{Schema: schema, Citus: true}
	routed := spread
	routed.CitusWorker = openCitusWorkers(b, benchWriters)
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
			sides := []*benchSide{newBenchSide(b, &plain, url), newBenchSide(b, &spread, url), newBenchSide(b, &routed, url)}
			calls := []benchCall{op.call, op.call, op.call}
			if op.bare != nil {
				sides, calls = append(sides, newBenchSide(b, &plain, url)), append(calls, op.bare(b, &plain))
			}
			for round := range 7 {
				for i, side := range sides {
					if op.prepare != nil {
						op.prepare(ctx, b, side)
					}
					rate := side.run(ctx, b, calls[i], time.Second)
					if round > 0 { // the first warms up
						side.rates = append(side.rates, rate)
					}
				}
			}
			before := median(sides[0].rates)
			b.ReportMetric(before, "plain/s")
			for i, name := range []string{"coordinator", "workers"} {
				after := median(sides[i+1].rates)
				b.ReportMetric(after, name+"/s")
				b.ReportMetric(after/before, name+"-ratio")
				if after/before < op.bars[i] {
					b.Logf("%s: %.2f of plain tables is below the bar of %.2f", name, after/before, op.bars[i])
				}
			}
			if op.bare != nil {
				bare := median(sides[3].rates)
				b.ReportMetric(bare, "select/s")
				b.ReportMetric(median(sides[2].rates)/bare, "workers-of-select-ratio")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// benchSide is a store with what its calls need.
type benchSide struct {
	store  *postgres.Store
	m      incident.Manager
	keys   []incident.Key // one for each writer and organization
	calls  atomic.Int64
	rates  []float64
	claims benchClaims
}

func newBenchSide(b *testing.B, opts *postgres.Options, url string) *benchSide {
	b.Helper()
	s := mustNew(b, mustOpen(b, url, benchWriters), opts)
	m, err := incident.New(s, &incident.Options{Notifier: incident.NotifyElsewhere})
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

// benchCall is a call of a writer. call counts the calls of all.
type benchCall func(ctx context.Context, s *benchSide, writer int, call int64) error

var benchOps = []struct {
	name    string
	bars    [2]float64 // the least ratios through the coordinator, and with routes; 0 for none
	prepare func(ctx context.Context, b *testing.B, s *benchSide)
	bare    func(b *testing.B, opts *postgres.Options) benchCall // a statement that serves as another yardstick, or nil
	call    benchCall
}{
	{"Create", [2]float64{0.3, 0.5}, nil, nil, func(ctx context.Context, s *benchSide, writer int, call int64) error {
		_, err := s.m.Create(ctx, incident.NewIncident{
			OrganizationID: benchOrganization(writer, call), Title: "Errors", Projects: []incident.ProjectID{"p"},
		})
		return err
	}},
	{"Fire", [2]float64{0.4, 0.45}, nil, nil, func(ctx context.Context, s *benchSide, writer int, call int64) error {
		_, err := s.m.Fire(ctx, incident.Firing{
			Slot:  incident.Slot{OrganizationID: benchOrganization(writer, call), AlertRuleID: incident.AlertRuleID(fmt.Sprint(writer, " ", call)), ProjectID: "p"},
			Title: "Errors", TriggerID: "t", Severity: incident.StatusCritical,
		})
		return err
	}},
	{"Comment", [2]float64{}, nil, nil, func(ctx context.Context, s *benchSide, writer int, _ int64) error {
		_, err := s.m.Comment(ctx, s.keys[writer], incident.NewComment{UserID: "ada", Comment: "Looking"})
		return err
	}},
	{"Get", [2]float64{0, 0.5}, nil, bareSelect, func(ctx context.Context, s *benchSide, writer int, _ int64) error {
		_, err := s.store.Load(ctx, s.keys[writer])
		return err
	}},
	{"Claim", [2]float64{}, fillQueues, nil, func(ctx context.Context, s *benchSide, _ int, _ int64) error {
		claims, err := s.store.Claim(ctx, claimOfBench)
		s.claims.add(claims...)
		return err
	}},
	{"Settle", [2]float64{}, fillClaims, nil, func(ctx context.Context, s *benchSide, _ int, _ int64) error {
		claims := s.claims.take(claimOfBench.Limit)
		if len(claims) == 0 {
			return errNoClaims
		}
		var all []incident.Settlement
		for _, c := range claims {
			all = append(all, incident.Settlement{Ticket: c.Ticket, Outcome: incident.OutcomeDelivered})
		}
		_, err := s.store.Settle(ctx, all)
		return err
	}},
}

// bareSelect returns a call that reads the row of an incident, without triggers, by a prepared statement.
func bareSelect(b *testing.B, opts *postgres.Options) benchCall {
	b.Helper()
	pool := mustOpen(b, citusURL(b), benchWriters)
	stmt, err := pool.PrepareContext(b.Context(), `
SELECT organization_id, identifier, title, type, status, status_method, alert_rule_id, query_id, detection_uuid, projects,
	date_started, date_detected, date_added, date_closed, version
FROM `+opts.Schema+`.incident
WHERE organization_id = $1 AND identifier = $2`)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = stmt.Close() }) // before its pool
	return func(ctx context.Context, s *benchSide, writer int, _ int64) error {
		var columns [15]any
		dest := make([]any, len(columns))
		for i := range columns {
			dest[i] = &columns[i]
		}
		return stmt.QueryRowContext(ctx, string(s.keys[writer].OrganizationID), s.keys[writer].Identifier).Scan(dest...)
	}
}

var claimOfBench = incident.ClaimQuery{Limit: 16, PerOrganization: 1, Lease: time.Hour}

// errNoClaims ends a round of settlements early.
var errNoClaims = errors.New("all claims are settled")

// benchClaims are claims to settle.
type benchClaims struct {
	mu  sync.Mutex // guards all
	all []incident.Claim
}

func (c *benchClaims) add(claims ...incident.Claim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, claims...)
}

func (c *benchClaims) take(n int) (taken []incident.Claim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n = min(n, len(c.all))
	taken, c.all = slices.Clone(c.all[:n]), c.all[n:]
	return taken
}

// fillQueues queues notifications for more claims than a round makes.
func fillQueues(ctx context.Context, b *testing.B, s *benchSide) {
	var all sync.WaitGroup
	for writer := range benchWriters {
		all.Go(func() {
			for range 200 {
				inc, err := s.m.Create(ctx, incident.NewIncident{OrganizationID: benchOrganization(writer, s.calls.Add(1)), Title: "Errors"})
				if err == nil {
					_, err = s.m.Comment(ctx, inc.Key(), incident.NewComment{UserID: "ada", Comment: "Looking"})
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// fillClaims claims what fillQueues queued.
func fillClaims(ctx context.Context, b *testing.B, s *benchSide) {
	fillQueues(ctx, b, s)
	s.claims.take(len(s.claims.all))
	q := claimOfBench
	q.Limit, q.PerOrganization = 500, 100
	for {
		claims, err := s.store.Claim(ctx, q)
		if err != nil {
			b.Fatal(err)
		}
		if len(claims) == 0 {
			return
		}
		s.claims.add(claims...)
	}
}

// run calls for a time, and returns the calls of a second.
func (s *benchSide) run(ctx context.Context, b *testing.B, call benchCall, d time.Duration) float64 {
	var all sync.WaitGroup
	var n atomic.Int64
	start := time.Now()
	for writer := range benchWriters {
		all.Go(func() {
			for time.Since(start) < d {
				if err := call(ctx, s, writer, s.calls.Add(1)); err != nil {
					if !errors.Is(err, errNoClaims) {
						b.Error(err)
					}
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
