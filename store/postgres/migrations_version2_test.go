package postgres_test

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"golang.org/x/sync/errgroup"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// version2 has statements of the library of schema version 2, as it sent them: a comment that is
// queued, a claim, and a settlement.
//
//go:embed testdata/version2/*.sql
var version2 embed.FS

// oldOutbox writes and delivers as a library of schema version 2.
type oldOutbox struct {
	pool                   *sqlx.DB
	comment, claim, settle string
}

func mustOldOutbox(t *testing.T, pool *sqlx.DB) oldOutbox {
	t.Helper()
	read := func(name string) string { return mustRead(t, version2, "testdata/version2/"+name+".sql") }
	return oldOutbox{pool, read("comment"), read("claim"), read("settle")}
}

// write comments on an incident.
func (o oldOutbox) write(ctx context.Context, key incident.Key) error {
	now := time.Now().UTC()
	_, err := o.pool.ExecContext(ctx, o.comment, key.OrganizationID, 1, key.Identifier, uuid.New(), rand.Int64(),
		int(typeComment), 0, 0, now, uuid.New(), "ada", "Old", nil, nil, nil, nil, 0,
		pq.StringArray{"ada"}, pq.StringArray{now.Format(time.RFC3339Nano)})
	return err
}

// oldClaim is a claim of the old library.
type oldClaim struct {
	key                       incident.Key
	replayed, sequence, fence int64
	isSeen                    bool
}

// take claims at most 8 notifications, by a lease of a minute.
func (o oldOutbox) take(ctx context.Context) (claims []oldClaim, err error) {
	rows, err := o.pool.QueryxContext(ctx, o.claim, "", "{}", 8, "{}", 8, time.Minute.Microseconds())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		columns, err := rows.SliceScan()
		if err != nil {
			return nil, err
		}
		if columns[1] == nil {
			continue
		}
		c := oldClaim{replayed: columns[2].(int64), sequence: columns[3].(int64), fence: columns[6].(int64), isSeen: columns[8] != nil}
		c.key.OrganizationID = incident.OrganizationID(text(columns[1]))
		c.key.Identifier = columns[25].(int64)
		claims = append(claims, c)
	}
	return claims, rows.Err()
}

// end settles a claim. It repeats the statement while a writer has locked the queue. A claim
// whose activity was not seen is released.
func (o oldOutbox) end(ctx context.Context, c oldClaim, outcome incident.Outcome) error {
	if !c.isSeen {
		outcome = incident.OutcomeRelease
	}
	for range 1000 {
		var settled []int
		err := o.pool.SelectContext(ctx, &settled, o.settle, "", pq.StringArray{string(c.key.OrganizationID)}, pq.Int64Array{c.key.Identifier},
			pq.Int64Array{c.replayed}, pq.Int64Array{c.sequence}, pq.Int64Array{c.fence}, pq.Int64Array{int64(outcome)}, pq.Int64Array{0},
			pq.StringArray{""})
		if err != nil || len(settled) == 1 {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return errors.New("the queue is locked, or the claim is invalid")
}

// journalOf records the deliveries of a notifier by two libraries.
type journalOf struct {
	mu        sync.Mutex // guards the fields below
	sequences map[incident.Key][]int64
}

func (j *journalOf) add(key incident.Key, sequence int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.sequences == nil {
		j.sequences = map[incident.Key][]int64{}
	}
	j.sequences[key] = append(j.sequences[key], sequence)
}

func (j *journalOf) Notify(_ context.Context, n incident.Notification) error {
	if n.Reminder != nil {
		j.add(n.Incident.Key(), 0)
		return nil
	}
	j.add(n.Incident.Key(), n.Activity.Sequence)
	return nil
}

func (j *journalOf) count() (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, all := range j.sequences {
		n += len(all)
	}
	return n
}

// The library of version 2 and this library write and deliver at the same time, from a migration
// with queued, claimed and parked notifications on. Each is delivered once, in order, by either.
// A notifier with a name gets all that this library writes, each once and in order.
func TestStore_besideVersion2(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	pool := mustOpen(t, url, 8)
	mustMigrateTo(t, pool, nil, 2)
	const incidents, turns = 6, 40
	var keys []incident.Key
	for i := range incidents {
		key := incident.Key{OrganizationID: incident.OrganizationID(fmt.Sprint("org-", i%3)), Identifier: int64(i/3) + 1}
		pool.MustExec(`INSERT INTO incident_organization VALUES ($1, 1) ON CONFLICT (organization_id) DO UPDATE SET incidents = incident_organization.incidents + 1`, key.OrganizationID)
		pool.MustExec(`INSERT INTO incident (organization_id, identifier, version, activities, call_id, type, status, status_method,
			date_started, date_detected, date_added, title, title_folded, alert_rule_id, query_id, projects)
			VALUES ($1, $2, 1, 0, 0, 0, 1, 1, now(), now(), now(), 'Down', 'down', '', '', '{}')`, key.OrganizationID, key.Identifier)
		keys = append(keys, key)
	}
	old := mustOldOutbox(t, pool)
	for _, key := range slices.Concat(keys, keys) {
		if err := old.write(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	var unnamed, named journalOf
	claims, err := old.take(t.Context())
	if err != nil || len(claims) != incidents {
		t.Fatalf("version 2 claims %d, %v, want %d", len(claims), err, incidents)
	}
	parked := claims[0]
	if err := old.end(t.Context(), parked, incident.OutcomePark); err != nil {
		t.Fatal(err)
	}

	stop, cancel := context.WithCancel(t.Context())
	var writers, relays errgroup.Group
	var fresh atomic.Int64 // comments of this library
	writers.Go(func() error {
		for n := range turns {
			if err := old.write(t.Context(), keys[n%incidents]); err != nil {
				return fmt.Errorf("version 2 writes: %w", err)
			}
		}
		return nil
	})
	relays.Go(func() error {
		for _, c := range claims[1:] { // claimed before the migration, and settled during it or after it
			unnamed.add(c.key, c.sequence)
			if err := old.end(t.Context(), c, incident.OutcomeDelivered); err != nil {
				return err
			}
		}
		for stop.Err() == nil {
			claims, err := old.take(t.Context())
			if err != nil {
				return fmt.Errorf("version 2 claims: %w", err)
			}
			for _, c := range claims {
				if c.isSeen {
					unnamed.add(c.key, c.sequence)
				}
				if err := old.end(t.Context(), c, incident.OutcomeDelivered); err != nil {
					return fmt.Errorf("version 2 settles: %w", err)
				}
			}
		}
		return nil
	})
	mustMigrate(t, pool, nil)
	s := mustNew(t, mustOpen(t, url, 8), nil)
	m, err := incident.New(s, &incident.Options{Notifier: &unnamed, Notifiers: map[string]incident.NamedNotifier{"mail": {Notifier: &named}}})
	if err != nil {
		t.Fatal(err)
	}
	relays.Go(func() error {
		if err := m.Run(stop); !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	})
	for i := range 2 {
		writers.Go(func() error {
			for n := range turns {
				key := keys[(n+i)%incidents]
				if _, err := m.Comment(t.Context(), key, incident.NewComment{UserID: "ada", Comment: "New"}); err != nil {
					return err
				}
				fresh.Add(1)
			}
			return nil
		})
	}
	for _, key := range keys {
		if err := m.Remind(t.Context(), key, incident.Reminder{Name: "late", At: time.Now().Add(200 * time.Millisecond)}); err != nil {
			t.Error(err)
		}
	}
	if err := writers.Wait(); err != nil {
		t.Fatal(err)
	}
	want := 2*incidents - 1 + turns + int(fresh.Load()) + incidents // with the reminders, without the parked one
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline) && (unnamed.count() < want || int64(named.count()) < fresh.Load()); {
		time.Sleep(10 * time.Millisecond)
	}
	if b, err := s.Replay(t.Context(), parkedOf(parked.key)); err != nil || b.Count != 1 {
		t.Errorf("Replay = %+v, %v, want the notification that version 2 parked", b, err)
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline) && unnamed.count() < want+1; {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(50 * time.Millisecond)
	cancel()
	if err := relays.Wait(); err != nil {
		t.Error(err)
	}
	checkDeliveries(t, s, keys, parked, &unnamed)
	checkNamedDeliveries(t, s, keys, &named)
	if all := mustBacklog(t, s); len(all) != 0 {
		t.Errorf("at the end Backlog = %+v", all)
	}
}

// checkDeliveries checks that each activity of the incidents came once and in order, except the
// parked one, which may come at any time, and a reminder of each, which has sequence 0 here.
func checkDeliveries(t *testing.T, s *postgres.Store, keys []incident.Key, parked oldClaim, j *journalOf) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, key := range keys {
		log, err := s.Activities(t.Context(), key, incident.ActivityQuery{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		want := []int64{0}
		for _, a := range log.Activities {
			want = append(want, a.Sequence)
		}
		got := slices.Clone(j.sequences[key])
		isAnytime := func(sequence int64) bool { return sequence == 0 || key == parked.key && sequence == parked.sequence }
		if ordered := slices.DeleteFunc(slices.Clone(got), isAnytime); !slices.IsSorted(ordered) {
			t.Errorf("%s: the deliveries are %v", key, got)
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%s: %v were delivered, want %v", key, got, want)
		}
	}
}

// checkNamedDeliveries checks that each activity of this library came once and in order. An
// activity of version 2 between two of them may come, too.
func checkNamedDeliveries(t *testing.T, s *postgres.Store, keys []incident.Key, j *journalOf) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, key := range keys {
		log, err := s.Activities(t.Context(), key, incident.ActivityQuery{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		got := j.sequences[key]
		if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
			t.Errorf("%s: the notifier with a name got %v", key, got)
		}
		for _, a := range log.Activities {
			if a.Comment == "New" && !slices.Contains(got, a.Sequence) {
				t.Errorf("%s: the notifier with a name got %v, without %d", key, got, a.Sequence)
			}
		}
	}
}
