package incident

import (
	"context"
	"encoding/binary"
	"errors"
	"strconv"
	"time"

	"github.com/incidentkit/incident/internal/cursor"
)

func (m *manager) Activities(ctx context.Context, key Key, f ActivityFilter) (ActivityPage, error) {
	page, err := m.activities(ctx, key, f)
	return page, wrap(err, "activities of %s", key)
}

// activityCursorSize is the size of a cursor's payload: the sequence.
const activityCursorSize = 8

func (m *manager) activities(ctx context.Context, key Key, f ActivityFilter) (ActivityPage, error) {
	if err := m.usable(ctx); err != nil {
		return ActivityPage{}, err
	}
	if err := checkKey(key); err != nil {
		return ActivityPage{}, err
	}
	limit, err := checkPageSize(f.Limit)
	if err != nil {
		return ActivityPage{}, err
	}
	q := ActivityQuery{Descending: f.Descending, Limit: limit + 1} // the last tells whether there is a next page
	scope := cursor.NewScope("activities", string(key.OrganizationID))
	scope.AddNumber(key.Identifier)
	scope.Add(strconv.FormatBool(f.Descending))
	if f.Cursor != "" {
		payload, err := decodeCursor(scope, f.Cursor, activityCursorSize)
		if err != nil {
			return ActivityPage{}, err
		}
		q.After = int64(binary.BigEndian.Uint64(payload))
	}
	log, err := m.store.Activities(ctx, key, q)
	if err != nil {
		return ActivityPage{}, m.observeAbsent(ctx, key, err)
	}
	m.observeVersion(ctx, key, log.Version)
	found := log.Activities
	if len(found) <= limit {
		return ActivityPage{Activities: listed(found)}, nil
	}
	last := found[limit-1].Sequence
	return ActivityPage{
		Activities: found[:limit],
		Next:       scope.Encode(binary.BigEndian.AppendUint64(nil, uint64(last))),
	}, nil
}

func (m *manager) Comment(ctx context.Context, key Key, n NewComment) (Activity, error) {
	a, err := m.comment(ctx, key, n)
	return a, wrap(err, "comment on %s", key)
}

func (m *manager) comment(ctx context.Context, key Key, n NewComment) (Activity, error) {
	now, err := m.begin(ctx)
	if err != nil {
		return Activity{}, err
	}
	if err := checkKey(key); err != nil {
		return Activity{}, err
	}
	at, err := n.check(now)
	if err != nil {
		return Activity{}, err
	}
	users, err := m.commentSubscribers(ctx, key, n.UserID, n.Mentions)
	if err != nil {
		return Activity{}, err
	}
	c := Change{
		Key: key,
		Activities: []Activity{{
			Incident:         key,
			Type:             ActivityTypeComment,
			UserID:           n.UserID,
			Comment:          n.Comment,
			NotificationUUID: n.NotificationUUID,
			DateAdded:        at,
		}},
		Subscriptions: subscriptions(key, users, now),
	}
	ids := m.uuids.Series()
	nameActivities(&ids, c.Activities)
	var applied Applied
	if err := m.apply(ctx, &c, &applied); err != nil {
		return Activity{}, err
	}
	if applied.Replayed {
		return *applied.Activity, nil
	}
	a := c.Activities[0]
	a.Sequence = applied.Sequence
	return a, nil
}

func (m *manager) EditComment(ctx context.Context, key Key, e CommentEdit) (Activity, error) {
	err := checkComment(e.Comment, true)
	if err != nil {
		return Activity{}, wrap(err, "edit comment %d of %s", e.Sequence, key)
	}
	a, err := m.revise(ctx, key, e, e.edit)
	return a, wrap(err, "edit comment %d of %s", e.Sequence, key)
}

func (m *manager) DeleteComment(ctx context.Context, key Key, e CommentEdit) (Activity, error) {
	if e.Comment != "" {
		return Activity{}, wrap(invalid("comment", "must be empty"), "delete comment %d of %s", e.Sequence, key)
	}
	a, err := m.revise(ctx, key, e, e.remove)
	return a, wrap(err, "delete comment %d of %s", e.Sequence, key)
}

// revise changes a comment by a rule, and begins again after a conflict.
func (m *manager) revise(ctx context.Context, key Key, e CommentEdit, rule func(Activity, time.Time) (Activity, error)) (Activity, error) {
	now, err := m.begin(ctx)
	if err != nil {
		return Activity{}, err
	}
	if err := checkKey(key); err != nil {
		return Activity{}, err
	}
	if e.Sequence <= 0 {
		return Activity{}, invalid("sequence", "must be positive")
	}
	if err := checkID("userId", e.UserID, false); err != nil {
		return Activity{}, err
	}
	for range maxConflicts {
		var a, revised Activity
		if a, err = m.store.Activity(ctx, key, e.Sequence); err != nil {
			return Activity{}, m.observeAbsent(ctx, key, err)
		}
		if revised, err = rule(a, now); err != nil {
			return Activity{}, err
		}
		if revised.Revision == a.Revision {
			return a, nil
		}
		m.attempt()
		err = m.store.ReviseActivity(ctx, revised)
		m.noteWritten(key, err)
		if err = m.failed(err); err == nil {
			return revised, nil
		}
		if !errors.Is(err, ErrVersionConflict) {
			break
		}
		m.conflicts.Add(1)
	}
	return Activity{}, err
}
