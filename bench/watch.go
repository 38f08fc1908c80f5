package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
)

// floorCommentSQL writes the rows of a comment as the first schema had them: no transaction
// number, by which the comment is found by other processes.
const floorCommentSQL = `
WITH i AS (
	UPDATE @incident SET activities = activities + 1
	WHERE organization_id = $1 AND identifier = $2
	RETURNING activities
)
INSERT INTO @incident_activity (organization_id, identifier, sequence, revision, call_id,
	type, value, previous_value, date_added, notification_uuid, user_id, comment)
SELECT $1, $2, activities, 0, 0, 3, 0, 0, $3, $4, $5, 'It is the cache' FROM i`

// firstSchemaSQL takes back what finds comments.
const firstSchemaSQL = `
DROP INDEX @incident_commented;
ALTER TABLE @incident_activity ALTER COLUMN changed DROP DEFAULT`

// commenting is a Manager with an incident in each organization.
func commenting(ctx context.Context, s *server) (incident.Manager, *sqlx.DB, string, error) {
	m, db, opts, err := s.manager(ctx)
	for i := 0; err == nil && i < organizations; i++ {
		err = create(ctx, m, orgOf(i))
	}
	if err != nil {
		return nil, nil, "", err
	}
	return m, db, opts.Schema, nil
}

// comments compares comments that the feed finds with comments that it does not find, by the
// library and in a bare statement.
func comments(ctx context.Context, s *server) ([]comparison, error) {
	m, _, _, err1 := commenting(ctx, s)
	before, beforeDB, beforeSchema, err2 := commenting(ctx, s)
	_, db, schema, err3 := commenting(ctx, s)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	if _, err := beforeDB.ExecContext(ctx, inSchema(firstSchemaSQL, beforeSchema+".")); err != nil {
		return nil, err
	}
	stmt, err := prepare(ctx, db, schema, floorCommentSQL)
	if err != nil {
		return nil, err
	}
	var all []comparison
	for _, goroutines := range []int{1, 16} {
		all = append(all, comparison{
			ours:       &side{name: "Comment", call: comment(ctx, m)},
			theirs:     &side{name: "Comment that other processes cannot find", call: comment(ctx, before)},
			goroutines: goroutines, bar: 0.9,
		})
	}
	return append(all, comparison{
		ours: &side{name: "Comment", call: comment(ctx, m)},
		theirs: &side{name: "one bare prepared statement", call: func(g, n int) error {
			_, err := stmt.ExecContext(ctx, orgOf(g*17+n), 1, time.Now(), uuid.Must(uuid.NewV7()), user)
			return err
		}},
		goroutines: 16,
	}), nil
}

// comment returns a call that comments on the first incident of an organization.
func comment(ctx context.Context, m incident.Manager) func(g, n int) error {
	return func(g, n int) error {
		key := incident.Key{OrganizationID: incident.OrganizationID(orgOf(g*17 + n)), Identifier: 1}
		return only(m.Comment(ctx, key, incident.NewComment{UserID: user, Comment: "It is the cache"}))
	}
}

const watchName = "Watch"

// watching measures how long after the commit of another process a watcher is called.
func (b *bench) watching(ctx context.Context, s *server) error {
	m, _, opts, err := s.manager(ctx)
	if err != nil {
		return err
	}
	if err := create(ctx, m, "acme"); err != nil {
		return err
	}
	w, err := startWriter(writerTask{URL: s.URL(), Schema: opts.Schema, Identifier: 1})
	if err != nil {
		return err
	}
	defer w.stop()
	run := func(ctx context.Context, begun func(), do func() error) error {
		ctx, cancel := context.WithCancel(ctx)
		var all sync.WaitGroup
		defer all.Wait()
		defer cancel()
		all.Go(func() { _ = m.Run(ctx) }) // ends with its context
		all.Go(func() {
			_ = m.Watch(ctx, "acme", func(c incident.Changes) error { // likewise
				if !c.Resync {
					begun()
				}
				return nil
			})
		})
		time.Sleep(time.Second)
		return do()
	}
	var took []time.Duration
	for range b.rounds {
		all, err := latencies(ctx, run, w.write)
		if err != nil {
			return err
		}
		took = append(took, all...)
	}
	median := quantile(took, 0.5)
	b.note("From the commit of a comment by another process to the call of a watcher: median %v, 99th percentile %v; the limit of the median is 50 ms.",
		median.Round(10*time.Microsecond), quantile(took, 0.99).Round(10*time.Microsecond))
	if median > 50*time.Millisecond {
		b.fail("A watcher is called %v after the commit of another process in the median, want at most 50 ms.", median)
	}
	return nil
}
