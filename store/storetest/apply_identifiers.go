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

// errUndo is what a case's transaction returns to be undone.
var errUndo = errors.New("undo this")

// Each organization counts for itself.
func applyIdentifiersAreGapless(t *trial, s incident.Store) {
	for want := int64(1); want <= 5; want++ {
		for _, org := range []incident.OrganizationID{acme, umbrella} {
			if got := mustCreate(t, s, draft(org)).Incident.Identifier; got != want {
				t.Fatalf("incident %d of %q has the identifier %d", want, org, got)
			}
		}
	}
}

// Whatever a new incident failed of, the next one gets its identifier.
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

// creationSpan is when an incident was made, on a clock of the case's own.
type creationSpan struct{ began, ended, identifier int64 }

// Many creators in several organizations, some of whom fail or undo, leave no
// gap and no repetition, and what was made after another has the higher number.
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

// createOrFail returns the identifier of a new incident, or 0 where it was to
// fail and did.
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

// wantGapless checks that identifiers follow the one that was there, and that
// none is lower than one that was known before it was made.
func wantGapless(t *trial, org incident.OrganizationID, spans []creationSpan) {
	t.Helper()
	slices.SortFunc(spans, func(a, b creationSpan) int { return int(a.identifier - b.identifier) })
	for i, span := range spans {
		if want := int64(i + 2); span.identifier != want {
			t.Errorf("the identifiers of %q skip or repeat: got %d, want %d", org, span.identifier, want)
			return
		}
		for _, lower := range spans[:i] {
			if span.ended < lower.began {
				t.Errorf("%q: %d was made before %d", org, span.identifier, lower.identifier)
			}
		}
	}
}
