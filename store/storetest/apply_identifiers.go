package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// errUndo is returned by functions whose transaction must be undone.
var errUndo = errors.New("undo this")

// Each organization counts its incidents from 1.
func applyIdentifiersAreGapless(t *trial, s incident.Store) {
	for want := int64(1); want <= 5; want++ {
		for _, org := range []incident.OrganizationID{acme, umbrella} {
			if got := mustCreate(t, s, draft(org)).Incident.Identifier; got != want {
				t.Fatalf("incident %d of %q has identifier %d", want, org, got)
			}
		}
	}
}

// A creation that fails uses no identifier.
func applyFailuresUseNoIdentifier(t *trial, s incident.Store) {
	detection := uuid.New()
	holder := mustApply(t, s, creationWith(detection, ruled(acme, api))).Incident.Key()
	if !mustApply(t, s, creationWith(detection, draft(acme))).Replayed {
		t.Errorf("Apply() of a known DetectionUUID was not replayed")
	}

	_, err := s.Apply(t.Context(), creation(ruled(acme, api)))
	wantHolder(t, "Apply() of a taken slot", err, holder)

	err = s.InTx(t.Context(), func(tx incident.Store) error {
		for range 3 {
			if _, err := tx.Apply(t.Context(), creation(draft(acme))); err != nil {
				return err
			}
		}
		return errUndo
	})
	wantError(t, "InTx()", err, errUndo)

	if got := mustCreate(t, s, draft(acme)).Incident.Identifier; got != 2 {
		t.Errorf("after creations that failed the next identifier is %d, want 2", got)
	}
}

// creationSpan is the begin and end of a creation, by a counter of the case, and the
// identifier.
type creationSpan struct{ began, ended, identifier int64 }

// Concurrent creations, some of which fail or are undone, leave no gap and repeat no
// identifier. A creation that begins after another has ended has the higher identifier.
func applyIdentifiersAreGaplessUnderConcurrency(t *trial, s incident.Store) {
	const creators, each = 4, 6
	orgs := []incident.OrganizationID{acme, umbrella, "initech"}
	spans := make([][]creationSpan, len(orgs))
	var (
		mu    sync.Mutex // guards spans
		clock atomic.Int64
	)
	for _, org := range orgs {
		mustCreate(t, s, ruled(org, api))
	}
	t.together(creators*len(orgs), func(i int) {
		org := i % len(orgs)
		for n := range each {
			began := clock.Add(1)
			id, err := createOrFail(t, s, orgs[org], (i+n)%3)
			if err != nil {
				t.Error(err)
			}
			if id != 0 {
				mu.Lock()
				spans[org] = append(spans[org], creationSpan{began, clock.Add(1), id})
				mu.Unlock()
			}
		}
	})
	for i, org := range orgs {
		wantGapless(t, org, spans[i])
		all := mustIncidents(t, s, incident.IncidentQuery{OrganizationID: org, Limit: everything})
		if len(all) != len(spans[i])+1 {
			t.Errorf("%q has %d incidents, want %d", org, len(all), len(spans[i])+1)
		}
	}
}

// createOrFail returns the identifier of a new incident, or 0 after a creation that
// failed as intended.
func createOrFail(t *trial, s incident.Store, org incident.OrganizationID, how int) (int64, error) {
	switch how {
	case 0:
		var conflict *incident.ConflictError
		if _, err := s.Apply(t.Context(), creation(ruled(org, api))); !errors.As(err, &conflict) {
			return 0, fmt.Errorf("Apply() of a taken slot = %v, want a *ConflictError", err)
		}
		return 0, nil
	case 1:
		err := s.InTx(t.Context(), func(tx incident.Store) error {
			if _, err := tx.Apply(t.Context(), creation(draft(org))); err != nil {
				return err
			}
			return errUndo
		})
		if !errors.Is(err, errUndo) {
			return 0, fmt.Errorf("InTx() = %v, want %v", err, errUndo)
		}
		return 0, nil
	default:
		applied, err := s.Apply(t.Context(), creation(draft(org)))
		return applied.Incident.Identifier, err
	}
}

// wantGapless checks that the identifiers follow 1 without a gap, and that no incident
// has a lower identifier than an incident that was known before its creation began.
func wantGapless(t *trial, org incident.OrganizationID, spans []creationSpan) {
	t.Helper()
	slices.SortFunc(spans, func(a, b creationSpan) int { return int(a.identifier - b.identifier) })
	for i, span := range spans {
		if want := int64(i + 2); span.identifier != want {
			t.Errorf("the identifiers of %q have a gap or repeat: got %d, want %d", org, span.identifier, want)
			return
		}
		for _, lower := range spans[:i] {
			if span.ended < lower.began {
				t.Errorf("%q: %d was made before %d", org, span.identifier, lower.identifier)
			}
		}
	}
}
