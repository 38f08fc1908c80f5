package incident

import (
	"context"
	"errors"

	"github.com/google/uuid"
)

// update is an update of an incident that a caller may repeat.
type update struct {
	key           Key
	expectVersion int64        // 0 permits any
	notification  uuid.UUID    // of the first activity; zero for a new UUID
	activity      ActivityType // of the first activity
}

// update writes an update by a rule on the state of the incident.
func (m *manager) update(ctx context.Context, u update, decide func(before *State) (decision, error)) (Result, error) {
	r, err := m.write(ctx, subject{key: u.key}, func(v view) (decision, error) {
		if u.expectVersion != 0 && u.expectVersion != v.state.Incident.Version {
			return decision{}, ErrVersionConflict
		}
		return decide(v.state)
	})
	if errors.Is(err, ErrVersionConflict) && u.notification != uuid.Nil {
		return m.answerRepeat(ctx, u)
	}
	return r, err
}

// answerRepeat answers an update whose expected version is outdated. The update itself may
// have changed the version, and its answer may have been lost. The change expects a version
// that no incident has, so that the store can only recognize the UUID or refuse.
func (m *manager) answerRepeat(ctx context.Context, u update) (Result, error) {
	applied, err := m.apply(ctx, &Change{
		Key:           u.key,
		Incident:      &Incident{OrganizationID: u.key.OrganizationID, Identifier: u.key.Identifier},
		ExpectVersion: -1,
		Activities:    []Activity{{Incident: u.key, Type: u.activity, NotificationUUID: u.notification}},
	})
	return Result{Incident: applied.Incident}, err
}
