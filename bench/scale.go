package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgload"
	"github.com/incidentkit/incident/store/postgres"
)

// small and large are the incidents of a small and a large host, on the same server. Half
// of the incidents belong to the organization that the calls are made on.
const (
	small, large = 10_000, 1_000_000

	// slowest is the limit of how much slower the large host may be.
	slowest = 1.3
)

// scaleSettings follow the recommendations of PostgreSQL's manual for a server with
// enough memory, so that the disk is not the bottleneck.
const scaleSettings = `
shared_buffers = 6GB
max_wal_size = 16GB
checkpoint_timeout = 1h
`

// loaded is a Manager on a filled schema.
type loaded struct {
	incident.Manager
	org       incident.OrganizationID
	incidents int64 // of the organization
	among     int64 // calls are made on this many of the latest incidents
	rng       *rand.Rand
	calls     int
}

// activeEvery is the number of incidents per active incident.
const activeEvery = 50

// fill creates the tables in a database and loads incidents into them.
func fill(ctx context.Context, dsn string, n int) error {
	store, err := postgres.Open(ctx, dsn, nil)
	if err != nil {
		return err
	}
	defer store.Close()
	if err := store.Migrate(ctx); err != nil {
		return err
	}
	return load(ctx, store.Pool(), store.Schema(), n)
}

func load(ctx context.Context, db *sqlx.DB, schema string, n int) error {
	start := time.Now()
	if err := pgload.Load(ctx, db, schema, n); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "loaded %d incidents in %s\n", n, time.Since(start).Round(time.Second))
	return nil
}

func (s *server) load(ctx context.Context, n int) (*loaded, error) {
	m, db, opts, err := s.manager(ctx)
	if err != nil {
		return nil, err
	}
	if err := load(ctx, db, opts.Schema, n); err != nil {
		return nil, err
	}
	return newLoaded(m, n), nil
}

func newLoaded(m incident.Manager, n int) *loaded {
	return &loaded{
		Manager: m, org: incident.OrganizationID(pgload.Org(0)), incidents: int64(n / 2), among: int64(n / 2),
		rng: rand.New(rand.NewPCG(1, 2)),
	}
}

// latest returns a copy whose calls are made on the latest n incidents.
func (l loaded) latest(n int64) *loaded {
	l.among = min(l.among, n)
	return &l
}

// key draws an incident.
func (l *loaded) key() incident.Key {
	return incident.Key{OrganizationID: l.org, Identifier: l.incidents - l.rng.Int64N(l.among)}
}

// author returns the user who commented on an incident.
func author(key incident.Key) incident.UserID {
	return incident.UserID(fmt.Sprint("user-", key.Identifier%200))
}

// nextActive iterates over the active incidents, and returns the number of the iteration.
func (l *loaded) nextActive() (key incident.Key, turn int) {
	n := int(l.among / activeEvery)
	i := l.calls % n
	l.calls++
	return incident.Key{OrganizationID: l.org, Identifier: l.incidents - l.incidents%activeEvery - int64(i)*activeEvery}, l.calls / n
}

// slotOf returns the slot of an active incident.
func slotOf(key incident.Key) incident.Slot {
	rule := "busy"
	if key.Identifier%3 == 0 {
		rule = fmt.Sprint("rule-", key.Identifier%500)
	}
	return incident.Slot{
		OrganizationID: key.OrganizationID, AlertRuleID: incident.AlertRuleID(rule), ProjectID: "all",
		QueryID: incident.QueryID(fmt.Sprint("query-", key.Identifier)),
	}
}

// operations are the compared calls.
var operations = []struct {
	name string
	call func(context.Context, *loaded) error
}{
	{"Create", func(ctx context.Context, l *loaded) error { return create(ctx, l, string(l.org)) }},
	{"Get", func(ctx context.Context, l *loaded) error { return only(l.Get(ctx, l.key())) }},
	{"Triggers", func(ctx context.Context, l *loaded) error { return only(l.Triggers(ctx, l.key())) }},
	{"Details", func(ctx context.Context, l *loaded) error { return only(l.Details(ctx, l.key(), "user-1")) }},
	{"Activities", func(ctx context.Context, l *loaded) error {
		return only(l.Activities(ctx, l.key(), incident.ActivityFilter{}))
	}},
	{"SeenBy", func(ctx context.Context, l *loaded) error { return only(l.SeenBy(ctx, l.key())) }},
	{"Subscribers", func(ctx context.Context, l *loaded) error { return only(l.Subscribers(ctx, l.key())) }},
	{"List", func(ctx context.Context, l *loaded) error {
		return only(l.List(ctx, incident.IncidentFilter{OrganizationID: l.org}))
	}},
	{"Active", func(ctx context.Context, l *loaded) error {
		key, _ := l.nextActive()
		_, ok, err := l.Active(ctx, slotOf(key))
		if err == nil && !ok {
			err = fmt.Errorf("%s is not active", key)
		}
		return err
	}},
	{"MarkSeen", func(ctx context.Context, l *loaded) error { return only(l.MarkSeen(ctx, l.key(), "user-1")) }},
	{"Subscribe", func(ctx context.Context, l *loaded) error { return only(l.Subscribe(ctx, l.key(), "user-1")) }},
	{"Unsubscribe", func(ctx context.Context, l *loaded) error { return l.Unsubscribe(ctx, l.key(), "user-1") }},
	{"Comment", func(ctx context.Context, l *loaded) error {
		return only(l.Comment(ctx, l.key(), incident.NewComment{UserID: "user-1", Comment: "It is the cache"}))
	}},
	{"EditComment", func(ctx context.Context, l *loaded) error {
		key := l.key()
		return only(l.EditComment(ctx, key, incident.CommentEdit{Sequence: 3, UserID: author(key), Comment: uuid.NewString()}))
	}},
	{"LinkProject", func(ctx context.Context, l *loaded) error {
		return only(l.LinkProject(ctx, l.key(), incident.ProjectID(fmt.Sprint("linked-", l.rng.IntN(50)))))
	}},
	{"UpdateStatus", func(ctx context.Context, l *loaded) error {
		key, turn := l.nextActive()
		status := incident.StatusWarning + incident.Status(turn%2)*(incident.StatusCritical-incident.StatusWarning)
		return only(l.UpdateStatus(ctx, key, incident.StatusUpdate{Status: status}))
	}},
	{"Acknowledge", func(ctx context.Context, l *loaded) error {
		key, turn := l.nextActive()
		return only(l.Acknowledge(ctx, key, incident.Acknowledgement{Withdraw: turn%2 == 1}))
	}},
	{"Fire that opens", func(ctx context.Context, l *loaded) error { return only(l.Fire(ctx, l.firing(uuid.NewString()))) }},
	{"Fire that changes nothing", func(ctx context.Context, l *loaded) error {
		return only(l.Fire(ctx, l.firing("the same")))
	}},
	{"Fire and Resolve", func(ctx context.Context, l *loaded) error {
		key, _ := l.nextActive()
		f := incident.Firing{Slot: slotOf(key), TriggerID: "second", Severity: incident.StatusCritical, Title: title}
		if _, err := l.Fire(ctx, f); err != nil {
			return err
		}
		return only(l.Resolve(ctx, incident.Resolution{Slot: f.Slot, TriggerID: f.TriggerID}))
	}},
}

func (l *loaded) firing(rule string) incident.Firing {
	return incident.Firing{
		Slot:      incident.Slot{OrganizationID: l.org, AlertRuleID: incident.AlertRuleID(rule), ProjectID: project},
		TriggerID: "threshold", Severity: incident.StatusWarning, Title: title,
	}
}

func only[T any](_ T, err error) error { return err }

// bySize compares each call on a large host with the same call on a small host: on the
// latest incidents, like most real calls, and on any.
func bySize(ctx context.Context, few, many *loaded) (all []comparison) {
	sides := []struct {
		suffix     string
		ours, than *loaded
	}{
		{"on the latest of", many.latest(few.among), few.latest(few.among)},
		{"on any of", many, few},
	}
	for _, op := range operations {
		for _, s := range sides {
			all = append(all, comparison{
				ours:       &side{name: fmt.Sprintf("%s %s %d", op.name, s.suffix, large), call: func(int, int) error { return op.call(ctx, s.ours) }},
				theirs:     &side{name: fmt.Sprintf("of %d", small), call: func(int, int) error { return op.call(ctx, s.than) }},
				goroutines: 1, bar: 1 / slowest,
			})
		}
	}
	return all
}

// lists are the compared filters. Each matches more than deepPage pages of the
// organization's half a million incidents.
var lists = []struct {
	name   string
	filter incident.IncidentFilter
}{
	{"everything", incident.IncidentFilter{}},
	{"a project", incident.IncidentFilter{Projects: []incident.ProjectID{"all"}}},
	{"several projects", incident.IncidentFilter{Projects: []incident.ProjectID{
		"project-00", "project-01", "project-02", "project-03", "project-04", "project-05", "project-06",
	}}},
	{"what a user may see", incident.IncidentFilter{Access: &incident.ProjectAccess{Projects: []incident.ProjectID{
		"project-00", "project-01", "project-02", "project-03", "project-04", "project-05", "project-06",
	}}}},
	{"a project of what a user may see", incident.IncidentFilter{
		Access: &incident.ProjectAccess{Projects: []incident.ProjectID{
			"project-00", "project-01", "project-02", "project-03", "project-04", "project-05", "project-06",
		}},
		Projects: []incident.ProjectID{"all"},
	}},
	{"a label", incident.IncidentFilter{Labels: map[string]string{"team": "payments"}}},
	{"a label of an assignee", incident.IncidentFilter{Labels: map[string]string{"team": "payments"}, Assignee: "ada"}},
	{"closed", incident.IncidentFilter{Statuses: []incident.Status{incident.StatusClosed}}},
	{"a rule", incident.IncidentFilter{AlertRuleID: "busy"}},
	{"a title", incident.IncidentFilter{Title: "Latency"}},
	{"a window", incident.IncidentFilter{
		Start: time.Date(2024, time.March, 1, 0, 0, 0, 0, time.UTC), End: time.Date(2025, time.October, 1, 0, 0, 0, 0, time.UTC),
	}},
	{"all of these", incident.IncidentFilter{
		Projects: []incident.ProjectID{"all"}, Statuses: []incident.Status{incident.StatusClosed}, AlertRuleID: "busy", Title: "checkout",
		Start: time.Date(2024, time.January, 2, 0, 0, 0, 0, time.UTC), End: time.Date(2025, time.December, 1, 0, 0, 0, 0, time.UTC),
	}},
}

const (
	deepPage = 20_001
	pageSize = 10
)

// byPage compares a page deep in a list with the first page.
func byPage(ctx context.Context, many *loaded) (all []comparison, err error) {
	for _, l := range lists {
		first := l.filter
		first.OrganizationID, first.Limit = many.org, pageSize
		deep := first
		if deep.Cursor, err = cursorOf(ctx, many, deep); err != nil {
			return nil, fmt.Errorf("page %d of %s: %w", deepPage, l.name, err)
		}
		page := func(f incident.IncidentFilter) func(int, int) error {
			return func(int, int) error {
				found, err := many.List(ctx, f)
				if err == nil && len(found.Incidents) != pageSize {
					err = fmt.Errorf("a page of %s has %d incidents", l.name, len(found.Incidents))
				}
				return err
			}
		}
		all = append(all, comparison{
			ours:       &side{name: fmt.Sprintf("List of %s, page %d", l.name, deepPage), call: page(deep)},
			theirs:     &side{name: "page 1", call: page(first)},
			goroutines: 1, bar: 1 / slowest,
		})
	}
	return all, nil
}

// cursorOf walks to the deep page in steps of the maximum page size.
func cursorOf(ctx context.Context, many *loaded, f incident.IncidentFilter) (string, error) {
	f.Limit = incident.MaxPageSize
	for range (deepPage - 1) * pageSize / f.Limit {
		page, err := many.List(ctx, f)
		if err != nil {
			return "", err
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			return "", fmt.Errorf("the list is shorter")
		}
	}
	return f.Cursor, nil
}

func (b *bench) scale(ctx context.Context) error {
	s, err := startServer(scaleSettings)
	if err != nil {
		return err
	}
	defer s.Stop()
	few, err := s.load(ctx, small)
	if err != nil {
		return err
	}
	many, err := s.load(ctx, large)
	if err != nil {
		return err
	}
	b.begin("Size", "1,000,000 incidents beside 10,000, and pages deep in a list beside the first.")
	all, err := byPage(ctx, many)
	if err := b.measure(all, err); err != nil {
		return err
	}
	return b.measure(bySize(ctx, few, many), nil)
}
