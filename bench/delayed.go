package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/incidentkit/incident"
)

// crowd is the number of other organizations with a delayed notification.
const crowd = 100_000

// crowdSQL creates an incident in each of many organizations. crowdQueueSQL queues its
// notification, due after a delay.
var crowdSQL = []string{
	`INSERT INTO @.incident_organization SELECT 'org-' || g, 1 FROM generate_series(1, $1::bigint) g`,
	`INSERT INTO @.incident (organization_id, identifier, version, activities, call_id, type, status, status_method,
		date_started, date_detected, date_added, title, title_folded, alert_rule_id, query_id, projects)
	SELECT 'org-' || g, 1, 1, 1, 0, 0, 1, 1, now(), now(), now(), $$` + title + `$$, $$` + title + `$$, '', '', ARRAY['checkout']
	FROM generate_series(1, $1::bigint) g`,
	`INSERT INTO @.incident_activity (organization_id, identifier, sequence, revision, call_id, type, value, previous_value,
		date_added, notification_uuid, user_id, comment)
	SELECT 'org-' || g, 1, 1, 0, 0, 3, 0, 0, now(), gen_random_uuid(), 'ada', 'It is the cache'
	FROM generate_series(1, $1::bigint) g`,
}

const crowdQueueSQL = `INSERT INTO @.incident_outbox (organization_id, identifier, replayed, next, last, due, since, attempts)
	SELECT 'org-' || g, 1, 0, 1, 1, now() + $2::bigint * interval '1 microsecond', now(), 1 FROM generate_series(1, $1::bigint) g`

func (d *delivery) insertCrowd(ctx context.Context, n int, delay time.Duration) error {
	for _, text := range crowdSQL {
		if _, err := d.db.ExecContext(ctx, inSchema(text, d.store.Schema()), n); err != nil {
			return err
		}
	}
	if _, err := d.db.ExecContext(ctx, inSchema(crowdQueueSQL, d.store.Schema()), n, delay.Microseconds()); err != nil {
		return err
	}
	_, err := d.db.ExecContext(ctx, "VACUUM ANALYZE")
	return err
}

// delayed compares the latency of a notification beside many organizations with a retry
// in an hour, with the latency beside none.
func (b *bench) delayed(ctx context.Context) error {
	b.begin("A notification beside delayed ones", "One comment at a time, from its commit to the beginning of its delivery.")
	s, err := startServer()
	if err != nil {
		return err
	}
	defer s.Stop()
	without, err := newDelivery(ctx, s, incident.NotifyOptions{}, false)
	if err != nil {
		return err
	}
	defer without.close()
	with, err := newDelivery(ctx, s, incident.NotifyOptions{}, false)
	if err != nil {
		return err
	}
	defer with.close()
	if err := with.insertCrowd(ctx, crowd, time.Hour); err != nil {
		return err
	}
	r := result{comparison: comparison{
		ours:       &side{name: fmt.Sprintf("A notification beside %d delayed organizations, 1/median", crowd)},
		theirs:     &side{name: "beside none"},
		goroutines: 1, bar: 1 / 1.5,
	}}
	var ours, theirs []float64
	for range b.rounds {
		t, err := without.latencies(ctx, 50, 50*time.Millisecond)
		if err != nil {
			return err
		}
		o, err := with.latencies(ctx, 50, 50*time.Millisecond)
		if err != nil {
			return err
		}
		oursRate, theirsRate := 1/quantile(o, 0.5).Seconds(), 1/quantile(t, 0.5).Seconds()
		ours, theirs, r.ratios = append(ours, oursRate), append(theirs, theirsRate), append(r.ratios, oursRate/theirsRate)
		fmt.Fprintf(os.Stderr, "%s: median %v beside %v\n", r.ours.name, quantile(o, 0.5), quantile(t, 0.5))
	}
	r.oursRate, r.theirsRate = median(ours), median(theirs)
	b.add(r)
	return nil
}

// latencies comments n times, and returns the time from each commit to the start of its
// delivery.
func (d *delivery) latencies(ctx context.Context, n int, gap time.Duration) (all []time.Duration, err error) {
	inc, err := d.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: title})
	if err != nil {
		return nil, err
	}
	begun := make(chan time.Time, 10)
	err = d.run(ctx, func() { begun <- time.Now() }, func() error {
		<-begun
		<-begun // the activities of the creation
		for range n {
			if _, err := d.Comment(ctx, inc.Key(), incident.NewComment{UserID: user, Comment: "It is the cache"}); err != nil {
				return err
			}
			committed := time.Now()
			all = append(all, max(0, (<-begun).Sub(committed)))
			time.Sleep(jittered(gap))
		}
		return nil
	})
	return all, err
}
