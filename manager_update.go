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
	if u.notification == uuid.Nil || errors.Is(err, ErrUnavailable) {
		return r, err
	}
	switch {
	case errors.Is(err, ErrVersionConflict):
		return m.answerRepeat(ctx, u)
	case errors.Is(err, ErrInvalid):
		repeated, unknown := m.answerRepeat(ctx, u)
		if errors.Is(unknown, ErrConflict) {
			return r, err
		}
		return repeated, unknown
	}
	return r, err
}

// answerRepeat answers an update that was refused for its expected version, or for another
// reason in the state of the incident. The update itself may have changed the incident before,
// and its answer may have been lost. The change expects a version that no incident has, so that
// the store can only recognize the UUID, or return [ErrVersionConflict].
func (m *manager) answerRepeat(ctx context.Context, u update) (Result, error) {
	var applied Applied
	err := m.apply(ctx, &Change{
		Key:           u.key,
		Incident:      &Incident{OrganizationID: u.key.OrganizationID, Identifier: u.key.Identifier},
		ExpectVersion: -1,
		Activities:    []Activity{{Incident: u.key, Type: u.activity, NotificationUUID: u.notification}},
	}, &applied)
	if err != nil {
		return Result{}, err
	}
	return Result{Incident: applied.Incident}, nil
}
