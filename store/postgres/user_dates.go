package postgres

import (
	"context"
	"time"

	"github.com/incidentkit/incident"
)

// upsertDate writes a date of a user at an incident, and returns the date in the table
// afterwards. A repetition changes nothing.
func (s *Store) upsertDate(
	ctx context.Context, op string, key incident.Key, text string, user incident.UserID, at time.Time,
) (stored time.Time, err error) {
	err = s.write(ctx, op, func(s *Store, c *call) error {
		st := s.statement(counted{string(key.OrganizationID), c}).add(text, string(user), at, key.Identifier)
		stored, err = queryCounted(ctx, s, c, st, func(rows rowSet) (at time.Time, err error) {
			err = scanOne(rows, instant(&at))
			return at, err
		})
		if err == nil && stored.IsZero() {
			err = incident.ErrNotFound
		}
		return err
	})
	return stored, err
}

// userDates reads the users of an incident with a date each. The statement returns a row
// without a user for an incident without users, and no row if there is no incident.
func userDates[T any](
	ctx context.Context, s *Store, op string, key incident.Key, text string, model func(incident.UserID, time.Time) T,
) ([]T, error) {
	st := s.statement(string(key.OrganizationID)).add(text, key.Identifier)
	all, err := query(ctx, s, op, st, func(rows rowSet) (all []T, err error) { return readUserDates(rows, model) })
	if err == nil && all == nil {
		err = notFound(op)
	}
	return all, err
}

func readUserDates[T any](rows rowSet, model func(incident.UserID, time.Time) T) (all []T, err error) {
	var identifier int64
	var user incident.UserID
	var at time.Time
	err = scanEach(rows, func() {
		if all == nil {
			all = []T{}
		}
		if user != "" {
			all = append(all, model(user, at))
		}
	}, integer(&identifier), text(&user), instant(&at))
	return all, err
}
