package postgres_test

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
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

// beside is a database in which the library of version 2 and this library write and deliver at the
// same time.
type beside struct {
	keys           []incident.Key
	old            oldOutbox
	unnamed, named journalOf
	stop           context.Context
	writers        errgroup.Group
	relays         errgroup.Group
}

const besideTurns = 40 // comments of each writer

// newBeside makes a database of version 2 with incidents that have two queued comments each.
func newBeside(t *testing.T, pool *sqlx.DB) *beside {
	t.Helper()
	mustMigrateTo(t, pool, nil, 2)
	b := &beside{old: mustOldOutbox(t, pool)}
	for i := range 6 {
		key := incident.Key{OrganizationID: incident.OrganizationID(fmt.Sprint("org-", i%3)), Identifier: int64(i/3) + 1}
		pool.MustExec(`INSERT INTO incident_organization VALUES ($1, 1)
			ON CONFLICT (organization_id) DO UPDATE SET incidents = incident_organization.incidents + 1`, key.OrganizationID)
		pool.MustExec(`INSERT INTO incident (organization_id, identifier, version, activities, call_id, type, status, status_method,
			date_started, date_detected, date_added, title, title_folded, alert_rule_id, query_id, projects)
			VALUES ($1, $2, 1, 0, 0, 0, 1, 1, now(), now(), now(), 'Down', 'down', '', '', '{}')`, key.OrganizationID, key.Identifier)
		b.keys = append(b.keys, key)
	}
	for _, key := range slices.Concat(b.keys, b.keys) {
		if err := b.old.write(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// startOld lets the old library write and deliver. It begins with claims from before.
func (b *beside) startOld(ctx context.Context, claims []oldClaim) {
	b.writers.Go(func() error {
		for n := range besideTurns {
			if err := b.old.write(ctx, b.keys[n%len(b.keys)]); err != nil {
				return fmt.Errorf("version 2 writes: %w", err)
			}
		}
		return nil
	})
	b.relays.Go(func() error {
		for err := error(nil); ; claims, err = b.old.take(ctx) {
			if err != nil || b.stop.Err() != nil {
				return err
			}
			for _, c := range claims {
				if c.isSeen {
					b.unnamed.add(c.key, c.sequence)
				}
				if err := b.old.end(ctx, c, incident.OutcomeDelivered); err != nil {
					return fmt.Errorf("version 2 settles: %w", err)
				}
			}
		}
	})
}

// startNew lets this library write and deliver, for a notifier without a name and one with a name.
func (b *beside) startNew(ctx context.Context, m incident.Manager) {
	b.relays.Go(func() error {
		if err := m.Run(b.stop); !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	})
	for i := range 2 {
		b.writers.Go(func() error {
			for n := range besideTurns {
				if _, err := m.Comment(ctx, b.keys[(n+i)%len(b.keys)], incident.NewComment{UserID: "ada", Comment: "New"}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	b.writers.Go(func() error {
		for _, key := range b.keys {
			if err := m.Remind(ctx, key, incident.Reminder{Name: "late", At: time.Now().Add(200 * time.Millisecond)}); err != nil {
				return err
			}
		}
		return nil
	})
}

// awaitDeliveries waits until n notifications came to the notifier without a name.
func (b *beside) awaitDeliveries(n int) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline) && b.unnamed.count() < n; {
		time.Sleep(10 * time.Millisecond)
	}
}

// The library of version 2 and this library write and deliver at the same time, from a migration
// with queued, claimed and parked notifications on. Each is delivered once, in order, by either.
// A notifier with a name gets all that this library writes, each once and in order.
func TestStore_besideVersion2(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	pool := mustOpen(t, url, 8)
	b := newBeside(t, pool)
	claims, err := b.old.take(t.Context())
	if err != nil || len(claims) != len(b.keys) {
		t.Fatalf("version 2 claims %d, %v, want %d", len(claims), err, len(b.keys))
	}
	parked := claims[0]
	if err := b.old.end(t.Context(), parked, incident.OutcomePark); err != nil {
		t.Fatal(err)
	}
	stop, cancel := context.WithCancel(t.Context())
	defer cancel()
	b.stop = stop
	b.startOld(t.Context(), claims[1:])
	mustMigrate(t, pool, nil)
	s := mustNew(t, mustOpen(t, url, 8), nil)
	m, err := incident.New(s, &incident.Options{Notifier: &b.unnamed, Notifiers: map[string]incident.NamedNotifier{"mail": {Notifier: &b.named}}})
	if err != nil {
		t.Fatal(err)
	}
	b.startNew(t.Context(), m)
	if err := b.writers.Wait(); err != nil {
		t.Fatal(err)
	}
	want := 3*len(b.keys) + 3*besideTurns - 1 // with a reminder of each incident, without the parked notification
	b.awaitDeliveries(want)
	if n, err := s.Replay(t.Context(), parkedOf(parked.key)); err != nil || n.Count != 1 {
		t.Errorf("Replay = %+v, %v, want the notification that version 2 parked", n, err)
	}
	b.awaitDeliveries(want + 1)
	for deadline := time.Now().Add(time.Minute); len(mustBacklog(t, s)) > 0 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	if all := mustBacklog(t, s); len(all) != 0 {
		t.Errorf("at the end Backlog = %+v", all)
	}
	cancel()
	if err := b.relays.Wait(); err != nil {
		t.Error(err)
	}
	checkDeliveries(t, s, b.keys, parked, &b.unnamed)
	checkNamedDeliveries(t, s, b.keys, &b.named)
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
