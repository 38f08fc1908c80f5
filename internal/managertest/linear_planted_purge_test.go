package managertest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// purgesActive is a store whose purges close an active incident, and delete it.
type purgesActive struct{ quietStore }

func (s purgesActive) Purge(ctx context.Context, q incident.PurgeQuery) (incident.PurgeBatch, error) {
	active, err := s.Incidents(ctx, incident.IncidentQuery{OrganizationID: q.OrganizationID, Statuses: incident.ActiveStatuses(), Limit: 1})
	if err != nil {
		return incident.PurgeBatch{}, err
	}
	for _, inc := range active {
		before := inc.Version
		inc.Version++
		inc.Status, inc.DateClosed = incident.StatusClosed, new(inc.DateStarted.Add(time.Minute))
		_, _ = s.Apply(ctx, incident.Change{ // a concurrent write may have been first
			Key: inc.Key(), Incident: &inc, ExpectVersion: before, StartedBefore: inc.DateStarted,
		})
	}
	return s.quietStore.Purge(ctx, q)
}

// purgesInSilence is a store that does not return what its purges have deleted.
type purgesInSilence struct{ quietStore }

func (s purgesInSilence) Purge(ctx context.Context, q incident.PurgeQuery) (incident.PurgeBatch, error) {
	b, err := s.quietStore.Purge(ctx, q)
	b.Purged = nil
	return b, err
}

// purgesHalf is a store whose purges leave every second incident that is due.
type purgesHalf struct{ quietStore }

func (s purgesHalf) Purge(ctx context.Context, q incident.PurgeQuery) (incident.PurgeBatch, error) {
	q.ClosedBefore = q.ClosedBefore.Add(-24 * time.Hour)
	return s.quietStore.Purge(ctx, q)
}

// reissues is a store that assigns the identifiers of purged incidents again.
type reissues struct {
	quietStore
	mu     *sync.Mutex // guards purged
	purged map[incident.OrganizationID][]int64
}

func (s reissues) Purge(ctx context.Context, q incident.PurgeQuery) (incident.PurgeBatch, error) {
	b, err := s.quietStore.Purge(ctx, q)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range b.Purged {
		s.purged[q.OrganizationID] = append(s.purged[q.OrganizationID], v.Key.Identifier)
	}
	return b, err
}

func (s reissues) Apply(ctx context.Context, c incident.Change) (incident.Applied, error) {
	applied, err := s.quietStore.Apply(ctx, c)
	s.mu.Lock()
	defer s.mu.Unlock()
	if free := s.purged[c.Key.OrganizationID]; err == nil && c.Key.Identifier == 0 && len(free) > 0 {
		applied.Incident.Identifier, s.purged[c.Key.OrganizationID] = free[0], free[1:]
	}
	return applied, err
}

// Each planted fault of purges must make the check of shelves fail.
func TestLinearizable_CatchesPurges(t *testing.T) {
	for name, plant := range map[string]func(s *labSetup){
		"active incidents deleted": func(s *labSetup) { s.store = purgesActive{quietStore{memory.New()}} },
		"deleted incidents read":   func(s *labSetup) { s.store, s.cache = purgesInSilence{quietStore{memory.New()}}, incident.NewCache(64) },
		"due incidents left":       func(s *labSetup) { s.store = purgesHalf{quietStore{memory.New()}} },
		"identifiers assigned again": func(s *labSetup) {
			s.store = reissues{quietStore{memory.New()}, &sync.Mutex{}, map[incident.OrganizationID][]int64{}}
		},
		"deleted incidents remembered": func(s *labSetup) {
			s.decorate = func(m incident.Manager) incident.Manager { return &hastyManager{Manager: m} }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(mostSeeds) {
				s := labSetup{store: memory.New(), cache: incident.NoCache, seed: seed, clients: 8, calls: 40}
				plant(&s)
				if err := checkShelves(s); err != nil {
					t.Log(err)
					return
				}
			}
			t.Error("the fault was not detected")
		})
	}
}
