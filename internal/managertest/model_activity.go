package managertest

import (
	"slices"

	"github.com/incidentkit/incident"
)

func (w *world) activities(key incident.Key, descending bool) (any, error) {
	r := w.find(key)
	if r == nil {
		return nil, incident.ErrNotFound
	}
	list := slices.Clone(r.activities)
	for i := range list {
		list[i] = copyActivity(list[i])
	}
	if descending {
		slices.Reverse(list)
	}
	return list, nil
}

func (w *world) comment(key incident.Key, n incident.NewComment) (any, error) {
	r := w.find(key)
	repeated, known := w.known(key, n.NotificationUUID, incident.ActivityTypeComment)
	switch {
	case w.guarded && r == nil:
		return nil, incident.ErrNotFound
	case r != nil && slices.ContainsFunc(n.Mentions, func(u incident.UserID) bool { return !w.admits(r, u) }):
		return nil, incident.ErrInvalid
	case repeated != nil:
		return copyActivity(*repeated), nil
	case known:
		return nil, incident.ErrConflict
	case r == nil:
		return nil, incident.ErrNotFound
	}
	w.append(r, incident.Activity{
		Type: incident.ActivityTypeComment, UserID: n.UserID, Comment: n.Comment,
		NotificationUUID: n.NotificationUUID, DateAdded: w.orNow(n.Date),
	})
	w.subscribeAll(r, append(slices.Clone(n.Mentions), n.UserID)...)
	return copyActivity(r.activities[len(r.activities)-1]), nil
}

// commentOf returns the comment that an edit or a deletion names.
func (w *world) commentOf(key incident.Key, e incident.CommentEdit) (*incident.Activity, error) {
	r := w.find(key)
	if r == nil || e.Sequence > int64(len(r.activities)) {
		return nil, incident.ErrNotFound
	}
	a := &r.activities[e.Sequence-1]
	if a.Type != incident.ActivityTypeComment {
		return nil, incident.ErrInvalid
	}
	if a.UserID != e.UserID && !e.Moderator {
		return nil, incident.ErrForbidden
	}
	return a, nil
}

func (w *world) editComment(key incident.Key, e incident.CommentEdit) (any, error) {
	a, err := w.commentOf(key, e)
	if err != nil {
		return nil, err
	}
	if a.DateDeleted != nil {
		return nil, incident.ErrNotFound
	}
	if a.Comment != e.Comment {
		a.Comment, a.DateEdited = e.Comment, copyTime(&w.now)
		a.Revision++
	}
	return copyActivity(*a), nil
}

func (w *world) deleteComment(key incident.Key, e incident.CommentEdit) (any, error) {
	a, err := w.commentOf(key, e)
	if err != nil {
		return nil, err
	}
	if a.DateDeleted == nil {
		a.Comment, a.DateDeleted = "", copyTime(&w.now)
		a.Revision++
	}
	return copyActivity(*a), nil
}

func (w *world) markSeen(key incident.Key, user incident.UserID) (any, error) {
	r := w.find(key)
	if r == nil {
		return nil, incident.ErrNotFound
	}
	if !w.admits(r, user) {
		return nil, incident.ErrForbidden
	}
	if last, ok := r.seen[user]; !ok || w.now.After(last) {
		r.seen[user] = w.now
	}
	return incident.Seen{Incident: key, UserID: user, LastSeen: r.seen[user]}, nil
}

func (w *world) seenBy(key incident.Key) (any, error) {
	r := w.find(key)
	if r == nil {
		return nil, incident.ErrNotFound
	}
	return r.seenList(), nil
}

// seenList is sorted twice, so that users with the same time stay in ascending order.
func (r *record) seenList() []incident.Seen {
	list := []incident.Seen{}
	for _, u := range sortedKeys(r.seen) {
		list = append(list, incident.Seen{Incident: r.key(), UserID: u, LastSeen: r.seen[u]})
	}
	slices.SortStableFunc(list, func(a, b incident.Seen) int { return b.LastSeen.Compare(a.LastSeen) })
	return list
}

func (w *world) subscribe(key incident.Key, user incident.UserID) (any, error) {
	r := w.find(key)
	if r == nil {
		return nil, incident.ErrNotFound
	}
	if !w.admits(r, user) {
		return nil, incident.ErrForbidden
	}
	w.subscribeAll(r, user)
	return incident.Subscription{Incident: key, UserID: user, DateAdded: r.subscribers[user]}, nil
}

func (w *world) unsubscribe(key incident.Key, user incident.UserID) (any, error) {
	r := w.find(key)
	if r == nil {
		return nil, incident.ErrNotFound
	}
	delete(r.subscribers, user)
	return nil, nil
}

func (w *world) subscribersOf(key incident.Key) (any, error) {
	r := w.find(key)
	if r == nil {
		return nil, incident.ErrNotFound
	}
	list := []incident.Subscription{}
	for _, u := range sortedKeys(r.subscribers) {
		list = append(list, incident.Subscription{Incident: key, UserID: u, DateAdded: r.subscribers[u]})
	}
	return list, nil
}
