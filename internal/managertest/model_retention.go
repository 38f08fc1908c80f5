package managertest

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

func purge(p incident.Purge) call {
	return call{
		name: "Purge", args: []any{p}, orgs: only(p.OrganizationID),
		do:     func(ctx context.Context, m incident.Manager) (any, error) { return answer(m.Purge(ctx, p)) },
		expect: func(w *world) (any, error) { w.purged = true; return w.purge(p), nil },
	}
}

func eraseUser(e incident.Erasure) call {
	return call{
		name: "EraseUser", args: []any{e}, orgs: only(e.OrganizationID),
		do:     func(ctx context.Context, m incident.Manager) (any, error) { return answer(m.EraseUser(ctx, e)) },
		expect: func(w *world) (any, error) { w.purged = true; return w.eraseUser(e), nil },
	}
}

func deleteOrganization(org incident.OrganizationID) call {
	return call{
		name: "DeleteOrganization", args: []any{org}, orgs: only(org), endsSlots: true,
		do: func(ctx context.Context, m incident.Manager) (any, error) {
			return answer(m.DeleteOrganization(ctx, org))
		},
		expect: func(w *world) (any, error) { w.purged = true; return w.deleteOrganization(org), nil },
	}
}

func organizations(after incident.OrganizationID, limit int) call {
	return call{
		name: "Organizations", args: []any{after, limit}, isRead: true,
		do: func(ctx context.Context, m incident.Manager) (any, error) {
			return answer(m.Organizations(ctx, after, limit))
		},
		expect: func(w *world) (any, error) { return w.organizations(after, limit), nil },
	}
}

// drawDeletion returns a call that deletes or erases. Such calls are refused in transactions.
func (s source) drawDeletion() call {
	kinds := []func() call{
		func() call {
			return organizations(pick(s, "after", append([]incident.OrganizationID{""}, orgs...)), s.limitOfOne())
		},
		func() call {
			e := incident.Erasure{OrganizationID: s.org(), UserID: s.user()}
			if as := s.actor(); as != e.UserID {
				e.As = as
			}
			return eraseUser(e)
		},
		func() call {
			return purge(incident.Purge{
				OrganizationID: s.org(),
				ClosedBefore:   s.w.now.Add(pick(s, "closed before", []time.Duration{time.Hour, time.Hour, 1, 0, -10 * time.Minute})),
				Limit:          pick(s, "limit", []int{0, 0, 1, 2}),
			})
		},
		func() call { return deleteOrganization(s.org()) },
	}
	return pick(s, "deletion", []func() call{kinds[0], kinds[1], kinds[1], kinds[2], kinds[2], kinds[2], kinds[3]})()
}

func (s source) limitOfOne() int { return pick(s, "limit", []int{1, 2, incident.MaxPageSize}) }

// living returns the incidents that were not deleted, in order of their identifiers.
func (o *organization) living() iter.Seq[*record] {
	return func(yield func(*record) bool) {
		for _, r := range o.records {
			if !r.gone && !yield(r) {
				return
			}
		}
	}
}

// remove deletes an incident. Its UUIDs are forgotten, and its identifier is not used again.
func (o *organization) remove(r *record) {
	r.gone = true
	maps.DeleteFunc(o.detections, func(_ uuid.UUID, other *record) bool { return other == r })
	maps.DeleteFunc(o.notifications, func(_ uuid.UUID, a activityID) bool { return a.identifier == r.incident.Identifier })
}

// purge deletes the due incidents, the oldest started first. With an outbox it holds all of them
// back: a machine delivers no notifications before its end.
func (w *world) purge(p incident.Purge) incident.Purged {
	o, done := w.org(p.OrganizationID), incident.Purged{}
	due := slices.SortedFunc(o.living(), func(a, b *record) int {
		return cmp.Or(a.incident.DateStarted.Compare(b.incident.DateStarted), cmp.Compare(a.incident.Identifier, b.incident.Identifier))
	})
	for _, r := range due {
		switch {
		case r.active() || !r.incident.DateClosed.Before(cut(p.ClosedBefore)):
		case w.outbox:
			done.Held++
		case p.Limit == 0 || done.Incidents < p.Limit:
			o.remove(r)
			done.Incidents++
		}
	}
	return done
}

func (w *world) deleteOrganization(org incident.OrganizationID) (n int) {
	o := w.org(org)
	for r := range o.living() {
		o.remove(r)
		n++
	}
	return n
}

func (w *world) organizations(after incident.OrganizationID, limit int) []incident.OrganizationID {
	found := []incident.OrganizationID{}
	for _, org := range sortedKeys(w.orgs) {
		for range w.orgs[org].living() {
			if org > after && len(found) < limit {
				found = append(found, org)
			}
			break
		}
	}
	return found
}

func (w *world) eraseUser(e incident.Erasure) (n int) {
	for r := range w.org(e.OrganizationID).living() {
		if r.erase(e.UserID, e.As) {
			n++
		}
	}
	return n
}

// erase replaces a user, and reports whether the incident had a trace of the user.
func (r *record) erase(user, as incident.UserID) bool {
	traced := false
	replace := func(id *incident.UserID) bool {
		if *id != user {
			return false
		}
		*id, traced = as, true
		return true
	}
	for i := range r.activities {
		a := &r.activities[i]
		if replace(&a.UserID) && a.Type == incident.ActivityTypeComment {
			a.Revision++
		}
		if a.Field == "assignee" {
			from, to := incident.UserID(a.Old), incident.UserID(a.New)
			replace(&from)
			replace(&to)
			a.Old, a.New = string(from), string(to)
		}
	}
	if response := copyResponse(r.incident.Response); response != nil {
		assigned, acknowledged := replace(&response.Assignee), replace(&response.AcknowledgedBy)
		if assigned || acknowledged {
			r.incident.Version++
			if r.incident.Response = response; *response == (incident.Response{}) {
				r.incident.Response = nil
			}
		}
	}
	seen := inherit(r.seen, user, as, time.Time.After)
	return inherit(r.subscribers, user, as, time.Time.Before) || seen || traced
}

// inherit gives a user's date to another user, or deletes it if there is none. If both have a
// date, the preferred one remains.
func inherit(dates map[incident.UserID]time.Time, user, as incident.UserID, preferred func(a, b time.Time) bool) bool {
	date, ok := dates[user]
	if !ok {
		return false
	}
	delete(dates, user)
	if other, both := dates[as]; as != "" && (!both || preferred(date, other)) {
		dates[as] = date
	}
	return true
}

// quietStore is a store without an outbox, whose incidents nothing holds back.
type quietStore struct{ incident.RetentionStore }

// quiet returns a store without its outbox, if it can delete.
func quiet(s incident.Store) incident.Store {
	if deletes, ok := s.(incident.RetentionStore); ok {
		return quietStore{deletes}
	}
	return s
}

// InTx implements [incident.Store].
func (s quietStore) InTx(ctx context.Context, fn func(tx incident.Store) error) error {
	return s.RetentionStore.InTx(ctx, func(tx incident.Store) error { return fn(quiet(tx)) })
}
