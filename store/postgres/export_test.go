package postgres

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
)

// Statements returns the texts that the store has sent.
func (s *Store) Statements() (texts []string) {
	s.texts.mu.RLock()
	defer s.texts.mu.RUnlock()
	for _, f := range s.texts.byShape {
		texts = append(texts, f.text)
	}
	return texts
}

// HoldLanes has all creations wait that need not go with their organization alone, until release
// is called. waiting returns their number.
func (s *Store) HoldLanes() (waiting func() int, release func()) {
	all := s.allLanes()
	add := func(n int) {
		for _, l := range all {
			l.mu.Lock()
			l.alone += n * maxAlone
			l.batches += n * maxBatches
			s.next(l)
			l.mu.Unlock()
		}
	}
	add(1)
	return func() (n int) {
		for _, l := range all {
			l.mu.Lock()
			n += len(l.waiting)
			l.mu.Unlock()
		}
		return n
	}, func() { add(-1) }
}

// allLanes returns the lanes of creations, with those of the servers of Citus that have had any.
func (s *Store) allLanes() []*lanes {
	if s.citus == nil {
		return []*lanes{&s.lanes}
	}
	s.citus.mu.Lock()
	defer s.citus.mu.Unlock()
	return append(slices.Collect(maps.Values(s.citus.lanes)), &s.lanes)
}

// Crowd returns the number of creations on Citus that wait or are in progress.
func (s *Store) Crowd() int { return int(s.citus.crowd.members.Load()) }

// WriteInGroup applies a creation in a transaction as a member of a group, and rolls the transaction back. It
// reports whether the group may continue, and the error of the creation.
func (s *Store) WriteInGroup(ctx context.Context, change incident.Change) (isWritten bool, err error) {
	tx, err := s.begin(context.WithoutCancel(ctx))
	if err != nil {
		return false, err
	}
	defer tx.rollBack()
	tx.grouped = true
	m := &member{ctx: ctx, w: writing{Change: change}, call: newCall("apply")}
	return m.writeIn(ctx, &Store{database: s.database, tx: tx}), m.err
}

// KnowsApart reports whether the database has refused a statement for several organizations.
func (s *Store) KnowsApart() bool { return s.lanes.apartOnly.Load() }

// FreeBatch lets n batches more be in progress, while lanes are held.
func (s *Store) FreeBatch(n int) {
	l := &s.lanes
	l.mu.Lock()
	defer l.mu.Unlock()
	l.batches -= n
	s.next(l)
}

// HoldReads has all reads of incidents and slots wait until release is called. waiting returns their
// number.
func (s *Store) HoldReads() (waiting func() int, release func()) {
	var waits []func() int
	var releases []func()
	hold := func(r interface {
		hold()
		held() int
		release(*Store)
	},
	) {
		r.hold()
		waits, releases = append(waits, r.held), append(releases, func() { r.release(s) })
	}
	for _, r := range s.loads.withServers() {
		hold(r)
	}
	for _, r := range s.slotLoads.withServers() {
		hold(r)
	}
	return func() (n int) {
			for _, held := range waits {
				n += held()
			}
			return n
		}, func() {
			for _, release := range releases {
				release()
			}
		}
}

// ReadApart has no further reads of the servers of Citus share a call.
func (s *Store) ReadApart() {
	for _, r := range s.loads.withServers() {
		r.readApart()
	}
	for _, r := range s.slotLoads.withServers() {
		r.readApart()
	}
}

// withServers returns the reads, and those of the servers of Citus that have had any.
func (r *reads[K, V]) withServers() []*reads[K, V] {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append(slices.Collect(maps.Values(r.servers)), r)
}

// ReadLanes returns how many lanes of reads are open, and how many members they have.
func (s *Store) ReadLanes() (open, members int) {
	s.loads.mu.Lock()
	defer s.loads.mu.Unlock()
	return s.loads.open, s.loads.members
}

// LeaveLate reads an incident, and leaves the lane after its answer.
func (s *Store) LeaveLate(key incident.Key) {
	m := &reading[incident.Key, incident.State]{ctx: context.Background(), key: key, woken: make(chan struct{}, 1)}
	s.loads.join(s, m)
	<-m.woken
	s.loads.leave(s, m)
}

// hold waits until no lane is open, and lets none be opened until release.
func (r *reads[K, V]) hold() {
	for isHeld := false; !isHeld; time.Sleep(time.Millisecond) {
		r.mu.Lock()
		if isHeld = r.open == 0; isHeld {
			r.open = r.mostLanes()
		}
		r.mu.Unlock()
	}
}

func (r *reads[K, V]) held() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiting)
}

func (r *reads[K, V]) release(s *Store) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open = 0
	r.openLanes(s)
}

// Migration is a migration of the library, or a later migration of a test.
type Migration struct {
	Up, Down string
	Objects  []string // the objects of the version that it makes
}

// Embedded returns the library's migrations.
func Embedded() (all []Migration) {
	for _, m := range migrations {
		all = append(all, Migration{m.up, m.down, slices.Clone(m.objects)})
	}
	return all
}

// MigrateBy is [Migrate] of a library with these migrations.
func MigrateBy(ctx context.Context, pool *sqlx.DB, opts *Options, known []Migration) error {
	m, err := newMigrator(pool, opts, internal(known))
	if err != nil {
		return err
	}
	return m.run(ctx, "migrate", m.nextUp)
}

// UnmigrateBy is [Unmigrate] of a library with these migrations.
func UnmigrateBy(ctx context.Context, pool *sqlx.DB, opts *Options, known []Migration) error {
	m, err := newMigrator(pool, opts, internal(known))
	if err != nil {
		return err
	}
	return m.run(ctx, "unmigrate", m.nextDown)
}

// FindVersion returns the version of the tables, as a step finds it under the lock.
func FindVersion(ctx context.Context, pool *sqlx.DB, q sqlx.QueryerContext) (int, error) {
	m, err := newMigrator(pool, nil, migrations)
	if err != nil {
		return 0, err
	}
	f, err := m.findSound(ctx, q)
	return f.schema, err
}

func internal(known []Migration) (all []migration) {
	for _, m := range known {
		all = append(all, migration{m.Up, m.Down, m.Objects})
	}
	return all
}

// ReadRows reads rows of the server, and calls between after the first.
func (s *Store) ReadRows(ctx context.Context, between func()) error {
	_, err := query(ctx, s, "read", s.statement("1000").add("SELECT n FROM generate_series(1, $1::bigint) n"), func(rows rowSet) (n int64, err error) {
		return n, scanEach(rows, func() {
			if n == 1 {
				between()
			}
		}, integer(&n))
	})
	return err
}

// SetLibraryVersion makes the store behave like that of a library whose newest migration
// makes version.
func (s *Store) SetLibraryVersion(version int) { s.schema.expected = version }

// SetFeedMemory makes the store keep the records of deletions for d.
func (s *Store) SetFeedMemory(d time.Duration) { s.feedMemory = d }

// SchemaVersion is the version of the library's newest migration.
const SchemaVersion = schemaVersion

// Objects returns the objects in a schema that have names of the library.
func Objects(ctx context.Context, pool *sqlx.DB, schema string) ([]string, error) {
	return ObjectsNamed(ctx, pool, schema, (&migrator{known: migrations}).names())
}

// ObjectsNamed returns the objects in a schema that have one of the names.
func ObjectsNamed(ctx context.Context, pool *sqlx.DB, schema string, names []string) ([]string, error) {
	var known []migration
	for _, name := range names {
		known = append(known, migration{objects: []string{"table " + name}})
	}
	m, err := newMigrator(pool, &Options{Schema: schema}, nil)
	if err != nil {
		return nil, err
	}
	m.known = known
	f, err := m.find(ctx, pool)
	return f.objects, err
}

// MaxTexts bounds the result of Statements.
const MaxTexts = maxTexts

// IsDisturbed reports whether a failed statement would be repeated.
func IsDisturbed(err error) bool { return isDisturbed(err) }

// CitusRoute returns the number of the server to which a statement about an organization would go, or 0
// for the coordinator.
func (s *Store) CitusRoute(ctx context.Context, organization string) int64 {
	w := s.worker(ctx, organization)
	if w == nil || w.avoided.Load() != 0 {
		return 0
	}
	return w.group
}

// MaxRare is the most incidents of an organization with a rare status.
const MaxRare = maxRare

// AssigneeDigest is the digest under which an assignee is listed.
func AssigneeDigest(user incident.UserID) string { return assigneeDigest(user) }

// MaxLosses is how often a write repeats a plain statement that others disturb.
const MaxLosses = maxLosses

// Literals returns the arguments of a statement for Citus.
func Literals(args ...any) (string, error) { return literals(args) }
