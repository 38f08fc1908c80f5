package postgres_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// A change that expects the version of a slot writes nothing if the slot was claimed and
// released after its statement began, although the slot is free again.
func TestApply_expectedSlotChangesMeanwhile(t *testing.T) {
	t.Parallel()
	s, url := newStore(t)
	pool := mustOpen(t, url, 2)
	for _, version := range []int64{0, 2} {
		slot := incident.Slot{OrganizationID: "acme", AlertRuleID: "rule", ProjectID: "api", QueryID: incident.QueryID(time.Duration(version).String())}
		claim := pool.MustBegin()
		defer claim.Rollback()
		if version > 0 {
			pool.MustExec(`INSERT INTO incident_slot (organization_id, alert_rule_id, project_id, query_id, version, holder, holders)
				VALUES ($1, $2, $3, $4, $5, 0, 0)`, slot.OrganizationID, slot.AlertRuleID, slot.ProjectID, slot.QueryID, version)
		}
		claim.MustExec(`INSERT INTO incident_slot (organization_id, alert_rule_id, project_id, query_id, version, holder, holders)
			VALUES ($1, $2, $3, $4, 2, 0, 0)
			ON CONFLICT (organization_id, alert_rule_id, project_id, query_id) DO UPDATE SET version = incident_slot.version + 2`,
			slot.OrganizationID, slot.AlertRuleID, slot.ProjectID, slot.QueryID)
		applied := make(chan error, 1)
		go func() {
			_, err := s.Apply(t.Context(), opening(slot, &incident.SlotVersion{Slot: slot, Version: version}))
			applied <- err
		}()
		mustWait(t, func() (waiting bool, err error) {
			err = pool.Get(&waiting, "SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database())")
			return waiting, err
		})
		if err := claim.Commit(); err != nil {
			t.Fatal(err)
		}
		if err := <-applied; !errors.Is(err, incident.ErrVersionConflict) {
			t.Errorf("Apply that expects version %d = %v, want ErrVersionConflict", version, err)
		}
		held, err := s.LoadSlot(t.Context(), slot)
		if err != nil || held.State != nil || held.Version != version+2 {
			t.Fatalf("LoadSlot = %+v, %v", held, err)
		}
		if _, err := s.Apply(t.Context(), opening(slot, &incident.SlotVersion{Slot: slot, Version: held.Version})); err != nil {
			t.Errorf("Apply that expects the new version = %v", err)
		}
	}
}

// opening returns the change of a firing that opens.
func opening(slot incident.Slot, expect *incident.SlotVersion) incident.Change {
	at := time.Date(2026, 3, 14, 2, 0, 0, 0, time.UTC)
	key := incident.Key{OrganizationID: slot.OrganizationID}
	inc := incident.Incident{
		OrganizationID: slot.OrganizationID, Version: 1, Type: 2, Title: "Slow", Status: incident.StatusWarning, StatusMethod: 3,
		AlertRuleID: slot.AlertRuleID, QueryID: slot.QueryID, Projects: []incident.ProjectID{slot.ProjectID},
		DateStarted: at, DateDetected: at, DateAdded: at,
	}
	return incident.Change{
		Key: key, Incident: &inc, Link: inc.Projects, Claim: []incident.Slot{slot}, ExpectSlot: expect,
		Triggers: []incident.Trigger{{Incident: key, TriggerID: "warning", Severity: incident.StatusWarning, DateAdded: at, DateModified: at}},
		Activities: []incident.Activity{
			{Incident: key, Type: incident.ActivityTypeDetected, DateAdded: at, NotificationUUID: uuid.New()},
			{Incident: key, Type: incident.ActivityTypeCreated, Value: incident.StatusOpen, DateAdded: at, NotificationUUID: uuid.New()},
			{
				Incident: key, Type: incident.ActivityTypeStatusChange, Value: incident.StatusWarning, PreviousValue: incident.StatusOpen,
				DateAdded: at, NotificationUUID: uuid.New(), TriggerID: "warning",
			},
		},
	}
}

func mustWait(t *testing.T, until func() (bool, error)) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		switch done, err := until(); {
		case err != nil:
			t.Fatal(err)
		case done:
			return
		case time.Now().After(deadline):
			t.Fatal("nothing happens")
		}
	}
}
