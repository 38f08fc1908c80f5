package storetest

import (
	"context"
	"time"

	"github.com/incidentkit/incident"
)

// world is the subject of the operations: an incident that occupies two slots and has
// triggers and a comment. Ada has commented and is subscribed, and bob has seen it.
type world struct {
	state   incident.State
	comment incident.Activity
}

func (w world) org() incident.OrganizationID { return w.state.Incident.OrganizationID }

func (w world) key() incident.Key { return w.state.Incident.Key() }

// moved returns the world with the key of another incident.
func (w world) moved(key incident.Key) world {
	w.state.Incident.OrganizationID = key.OrganizationID
	w.state.Incident.Identifier = key.Identifier
	w.comment.Incident = key
	return w
}

// mustWorld creates a world. It leaves out the parts that the store does not implement.
func mustWorld(t *trial, s incident.Store, org incident.OrganizationID) world {
	t.Helper()
	key := mustCreate(t, s, ruled(org, api, db), firing(critical), firing(warning)).Incident.Key()
	w := world{comment: mustComment(t, s, key, "The database of "+string(org)+" is down")}
	revised := edited(w.comment, "The database of "+string(org)+" is slow")
	mustIfImplemented(t, "ReviseActivity", func() error {
		err := s.ReviseActivity(t.Context(), revised)
		if err == nil {
			w.comment = revised
		}
		return err
	})
	mustIfImplemented(t, "MarkSeen", func() error {
		_, err := s.MarkSeen(t.Context(), incident.Seen{Incident: key, UserID: bob, LastSeen: at(time.Minute)})
		return err
	})
	mustIfImplemented(t, "Activity", func() error {
		stored, err := s.Activity(t.Context(), key, w.comment.Sequence)
		if err == nil {
			w.comment = stored
		}
		return err
	})
	w.state = mustLoad(t, s, key)
	return w
}

// operation is a way to call a store.
type operation struct {
	name string
	call func(ctx context.Context, s incident.Store, w world) (any, error)
}

// do makes the call. If it panics because the method is not implemented, do returns an
// error.
func (o operation) do(ctx context.Context, s incident.Store, w world) (got any, err error) {
	err = attempt(func() (err error) {
		got, err = o.call(ctx, s, w)
		return err
	})
	return got, err
}

// reads returns all methods that read. Each write shows in a read.
func reads() []operation {
	return []operation{
		{"Load", load},
		{"LoadSlot", loadSlot},
		{"LoadSlot of the free slot", loadFreeSlot},
		{"LoadDetails", loadDetails},
		{"Incidents", incidents},
		{"CountIncidents", countIncidents},
		{"Activities", activities},
		{"Activity", oneActivity},
		{"SeenBy", seenBy},
		{"Subscribers", subscribers},
	}
}

// writes returns all methods that write, with several uses of Apply. In a world each can
// be called once, in any order.
func writes() []operation {
	return []operation{
		{"Apply of a new incident", applyNew},
		{"Apply of a change", applyChange},
		{"Apply of a comment", applyComment},
		{"ReviseActivity", reviseActivity},
		{"MarkSeen", markSeen},
		{"Subscribe", subscribe},
		{"Unsubscribe", unsubscribe},
	}
}

func operations() []operation { return append(reads(), writes()...) }

func load(ctx context.Context, s incident.Store, w world) (any, error) {
	return s.Load(ctx, w.key())
}

func loadSlot(ctx context.Context, s incident.Store, w world) (any, error) {
	return s.LoadSlot(ctx, slotOf(w.org(), api))
}

func loadFreeSlot(ctx context.Context, s incident.Store, w world) (any, error) {
	return s.LoadSlot(ctx, slotOf(w.org(), web))
}

func loadDetails(ctx context.Context, s incident.Store, w world) (any, error) {
	return s.LoadDetails(ctx, w.key(), ada)
}

func incidents(ctx context.Context, s incident.Store, w world) (any, error) {
	return s.Incidents(ctx, incident.IncidentQuery{OrganizationID: w.org(), Limit: everything})
}

func countIncidents(ctx context.Context, s incident.Store, w world) (any, error) {
	counts, err := s.CountIncidents(ctx, incident.IncidentQuery{OrganizationID: w.org(), Limit: everything})
	return counted(counts), err
}

func activities(ctx context.Context, s incident.Store, w world) (any, error) {
	return s.Activities(ctx, w.key(), incident.ActivityQuery{Limit: everything})
}

func oneActivity(ctx context.Context, s incident.Store, w world) (any, error) {
	return s.Activity(ctx, w.key(), w.comment.Sequence)
}

func seenBy(ctx context.Context, s incident.Store, w world) (any, error) {
	return s.SeenBy(ctx, w.key())
}

func subscribers(ctx context.Context, s incident.Store, w world) (any, error) {
	return s.Subscribers(ctx, w.key())
}

// applyNew claims the free slot.
func applyNew(ctx context.Context, s incident.Store, w world) (any, error) {
	c := creation(ruled(w.org(), web), firing(critical))
	c.Subscriptions = []incident.Subscription{{Incident: c.Key, UserID: ada, DateAdded: t0}}
	return s.Apply(ctx, c)
}

// applyChange closes the incident: its slots are released and its triggers resolved.
// It also subscribes bob and unlinks a project.
func applyChange(ctx context.Context, s incident.Store, w world) (any, error) {
	c := transition(w.state, incident.StatusClosed)
	c.Incident.Projects = []incident.ProjectID{api}
	c.Unlink = []incident.ProjectID{db}
	return s.Apply(ctx, c)
}

func applyComment(ctx context.Context, s incident.Store, w world) (any, error) {
	return s.Apply(ctx, comment(w.key(), "Looking into it"))
}

func reviseActivity(ctx context.Context, s incident.Store, w world) (any, error) {
	a := deleted(w.comment)
	return a, s.ReviseActivity(ctx, a)
}

func markSeen(ctx context.Context, s incident.Store, w world) (any, error) {
	return s.MarkSeen(ctx, incident.Seen{Incident: w.key(), UserID: ada, LastSeen: at(time.Hour)})
}

func subscribe(ctx context.Context, s incident.Store, w world) (any, error) {
	return s.Subscribe(ctx, incident.Subscription{Incident: w.key(), UserID: eve, DateAdded: at(time.Hour)})
}

func unsubscribe(ctx context.Context, s incident.Store, w world) (any, error) {
	return nil, s.Unsubscribe(ctx, w.key(), ada)
}

// refusesUnknown returns a case about a method that concerns an incident. For the keys
// of other organizations' incidents and of no incident, the method must return
// ErrNotFound and write nothing.
func refusesUnknown(method string, call func(ctx context.Context, s incident.Store, w world) (any, error)) caseFunc {
	return func(t *trial, s incident.Store) {
		w := mustWorld(t, s, acme)
		mustWorld(t, s, umbrella)
		mustCreate(t, s, draft(umbrella))
		before, others := mustSnapshot(t, s, acme), mustSnapshot(t, s, umbrella)
		for _, key := range unknownKeys() {
			_, err := call(t.Context(), s, w.moved(key))
			wantError(t, method+" of the unknown "+key.String(), err, incident.ErrNotFound)
		}
		wantEqual(t, "the organization's records", mustSnapshot(t, s, acme), before)
		wantEqual(t, "the other organization's records", mustSnapshot(t, s, umbrella), others)
	}
}
