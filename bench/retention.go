package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgload"
)

// How much slower calls may be while incidents are purged.
const (
	purgeMedianBar = 1.2
	purgeTailBar   = 2.0 // of the 99th percentile
)

// bystanders are the calls that are compared, on organizations of others and, for the last, on the
// organization that is purged.
var bystanders = []struct {
	name string
	call func(ctx context.Context, l *loaded) error
}{
	{"Create", func(ctx context.Context, l *loaded) error { return create(ctx, l, l.beside()) }},
	{"Details", func(ctx context.Context, l *loaded) error {
		key := incident.Key{OrganizationID: incident.OrganizationID(l.beside()), Identifier: 1 + l.rng.Int64N(l.incidents/100)}
		return only(l.Details(ctx, key, "user-1"))
	}},
	{"List", func(ctx context.Context, l *loaded) error {
		return only(l.List(ctx, incident.IncidentFilter{OrganizationID: incident.OrganizationID(l.beside())}))
	}},
	{"Create in the purged organization", func(ctx context.Context, l *loaded) error { return create(ctx, l, string(l.org)) }},
}

// beside draws an organization that is not purged.
func (l *loaded) beside() string { return pgload.Org(1 + l.rng.IntN(pgload.Organizations-1)) }

// aboutPurge is the introduction of the calls during a purge.
const aboutPurge = "Of %d incidents, those of the largest organization are purged, which are half of them. " +
	"Each call is made by one goroutine, 1 to 3 ms after it has returned; the goroutines of all rows run together. " +
	"The rates are 1/latency."

// retention measures calls while the incidents of the largest organization are purged, beside the
// same calls without it.
func (b *bench) retention(ctx context.Context) error {
	b.begin("Calls during a purge", fmt.Sprintf(aboutPurge, b.incidents))
	s, err := startServer(scaleSettings)
	if err != nil {
		return err
	}
	defer s.Stop()
	l, err := s.load(ctx, b.incidents)
	if err != nil {
		return err
	}
	if err := b.besidePurge(ctx, l); err != nil {
		return err
	}
	return b.week(ctx)
}

// besidePurge measures the bystanders while the largest organization is purged, and without.
func (b *bench) besidePurge(ctx context.Context, l *loaded) (err error) {
	type row struct{ median, tail result }
	rows := make([]row, len(bystanders))
	for i, c := range bystanders {
		name := func(of string) comparison {
			return comparison{ours: &side{name: c.name + ", " + of}, theirs: &side{name: "without a purge"}, goroutines: 1}
		}
		rows[i] = row{result{comparison: name("1/median")}, result{comparison: name("1/99th percentile")}}
		rows[i].median.bar, rows[i].tail.bar = 1/purgeMedianBar, 1/purgeTailBar
	}
	purged, purging := 0, time.Duration(0)
	for round := -1; round < b.rounds; round++ {
		took := map[bool][][]time.Duration{}
		for turn := range 2 {
			with := (turn+round)%2 == 0
			length := b.length
			if round < 0 {
				length /= 4 // a warm-up
			}
			var n int
			if took[with], n, err = l.bystand(ctx, length, with); err != nil {
				return err
			}
			if purged += n; with {
				purging += length
			}
		}
		for i := range rows {
			if round < 0 {
				break
			}
			rate := func(with bool, q float64) float64 { return 1 / quantile(took[with][i], q).Seconds() }
			rows[i].median.count(rate(true, 0.5), rate(false, 0.5))
			rows[i].tail.count(rate(true, 0.99), rate(false, 0.99))
			fmt.Fprintf(os.Stderr, "%s: median %v beside %v, 99th percentile %v beside %v\n", bystanders[i].name,
				quantile(took[true][i], 0.5), quantile(took[false][i], 0.5), quantile(took[true][i], 0.99), quantile(took[false][i], 0.99))
		}
	}
	for _, r := range rows {
		b.add(r.median)
		b.add(r.tail)
	}
	b.note("%d incidents were purged, %.0f/s.", purged, float64(purged)/purging.Seconds())
	return nil
}

// bystand makes all calls for a while, with or without a purge, and returns their latencies and
// the number of purged incidents.
func (l *loaded) bystand(ctx context.Context, length time.Duration, purging bool) (took [][]time.Duration, purged int, err error) {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	took = make([][]time.Duration, len(bystanders))
	errs := make([]error, len(bystanders)+1)
	whole := context.WithoutCancel(ctx)
	var all sync.WaitGroup
	for i, c := range bystanders {
		mine := *l
		mine.rng = rand.New(rand.NewPCG(l.rng.Uint64(), 0))
		all.Go(func() {
			for ctx.Err() == nil {
				time.Sleep(jittered(2 * time.Millisecond))
				start := time.Now()
				if errs[i] = c.call(whole, &mine); errs[i] != nil {
					return
				}
				took[i] = append(took[i], time.Since(start))
			}
		})
	}
	if purging {
		all.Go(func() {
			p, err := l.Purge(ctx, incident.Purge{OrganizationID: l.org, ClosedBefore: time.Now()})
			purged = p.Incidents
			switch {
			case err == nil:
				err = fmt.Errorf("all incidents were purged: load more, or make fewer or shorter rounds")
			case errors.Is(err, context.DeadlineExceeded):
				err = nil
			}
			errs[len(bystanders)] = err
		})
	}
	all.Wait()
	return took, purged, errors.Join(errs...)
}

// The life of the tables of week: each day, incidents are opened and closed, and those of more than
// keptDays ago are purged.
const (
	weekDays = 12
	keptDays = 4
	perDay   = 2000
)

// weekGrowth is the limit of the size after weekDays, relative to that after keptDays and one more.
const weekGrowth = 1.5

// week runs some days of a host in a few seconds each, and measures the tables at the end of each
// day. Autovacuum looks each second, as it would look each minute of a longer day.
func (b *bench) week(ctx context.Context) error {
	b.begin("The tables of a host that purges", fmt.Sprintf("Each day %d incidents are opened, commented on and closed, "+
		"and those of more than %d days ago are purged. A day takes a few seconds, and autovacuum looks for work each second. "+
		"Sizes include indexes.", perDay, keptDays))
	s, err := startServer("autovacuum = on", "autovacuum_naptime = 1s")
	if err != nil {
		return err
	}
	defer s.Stop()
	day := new(time.Time)
	*day = time.Now().Add(-(weekDays + 1) * 24 * time.Hour)
	m, db, opts, err := s.managerOf(ctx, &incident.Options{Now: func() time.Time { return *day }, Cache: incident.NoCache})
	if err != nil {
		return err
	}
	defer db.Close()
	table := []string{"| day | incidents | of which purged | rows | dead rows | MB |", "|---:|---:|---:|---:|---:|---:|"}
	var sizes []float64
	for d := range weekDays {
		*day = day.Add(24 * time.Hour)
		if err := liveDay(ctx, m); err != nil {
			return err
		}
		p, err := m.Purge(ctx, incident.Purge{OrganizationID: "acme", ClosedBefore: day.Add(-keptDays * 24 * time.Hour)})
		if err != nil {
			return err
		}
		time.Sleep(3 * time.Second) // the night: autovacuum looks a few times
		var t struct {
			Live, Dead int64
			Size       float64
		}
		err = db.GetContext(ctx, &t, `SELECT sum(n_live_tup) AS live, sum(n_dead_tup) AS dead,
			sum(pg_total_relation_size(relid)) / 1000000.0 AS size FROM pg_stat_user_tables WHERE schemaname = $1`, opts.Schema)
		if err != nil {
			return err
		}
		sizes = append(sizes, t.Size)
		table = append(table, fmt.Sprintf("| %d | %d | %d | %d | %d | %.1f |", d+1, perDay*(d+1), p.Incidents, t.Live, t.Dead, t.Size))
		fmt.Fprintln(os.Stderr, table[len(table)-1])
	}
	b.note("%s", strings.Join(table, "\n"))
	if ratio := sizes[weekDays-1] / sizes[keptDays+1]; ratio > weekGrowth {
		b.fail("From day %d to %d the tables have grown by a factor of %.2f, limit %.1f.", keptDays+2, weekDays, ratio, weekGrowth)
	}
	return nil
}

// liveDay opens, comments on and closes the incidents of a day.
func liveDay(ctx context.Context, m incident.Manager) error {
	var all sync.WaitGroup
	errs := make([]error, 8)
	for g := range errs {
		all.Go(func() {
			for range perDay / len(errs) {
				r, err := m.Create(ctx, incident.NewIncident{
					OrganizationID: "acme", Title: title, Projects: []incident.ProjectID{project}, UserID: user,
					Labels: map[string]string{"team": "payments"},
				})
				if err == nil {
					_, err = m.Comment(ctx, r.Key(), incident.NewComment{UserID: user, Comment: "It is the cache"})
				}
				if err == nil {
					_, err = m.UpdateStatus(ctx, r.Key(), incident.StatusUpdate{Status: incident.StatusClosed, UserID: user})
				}
				if errs[g] = err; err != nil {
					return
				}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
