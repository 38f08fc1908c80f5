package managertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// Audit checks the invariants of organizations: everything that must hold after any calls
// from any number of goroutines. A cache may have missed writes of other Managers that have just
// returned, so that Audit waits for the feed first.
func Audit(ctx context.Context, m incident.Manager, store incident.Store, orgs ...incident.OrganizationID) error {
	return audit(ctx, m, store, false, orgs)
}

// AuditPurged is [Audit] of organizations whose incidents may have been deleted, and whose users may
// have been erased.
func AuditPurged(ctx context.Context, m incident.Manager, store incident.Store, orgs ...incident.OrganizationID) error {
	return audit(ctx, m, store, true, orgs)
}

func audit(ctx context.Context, m incident.Manager, store incident.Store, purged bool, orgs []incident.OrganizationID) error {
	awaitFeed(ctx, m)
	for _, org := range orgs {
		a := auditor{
			ctx: ctx, manager: m, store: store, purged: purged,
			holders: map[incident.Slot]incident.Key{}, uuids: map[uuid.UUID]incident.Key{},
		}
		if err := a.organization(org); err != nil {
			return fmt.Errorf("audit of %q: %w", org, err)
		}
	}
	return nil
}

// awaitFeed waits until the cache of m has the writes that have returned before.
func awaitFeed(ctx context.Context, m incident.Manager) {
	for begun := time.Now(); ctx.Err() == nil; time.Sleep(time.Millisecond) {
		if f := m.Stats().Feed; f.State != incident.FeedFollowing || f.Lag < time.Since(begun) {
			return
		}
	}
}

type auditor struct {
	ctx     context.Context
	manager incident.Manager
	store   incident.Store
	purged  bool // incidents may be missing, and authors of comments replaced
	holders map[incident.Slot]incident.Key
	uuids   map[uuid.UUID]incident.Key // of activities and of detections
}

func (a *auditor) organization(org incident.OrganizationID) error {
	list, err := allIncidents(a.ctx, a.manager, incident.IncidentFilter{OrganizationID: org, Limit: incident.MaxPageSize})
	if err != nil {
		return err
	}
	if !slices.IsSortedFunc(list, byStart) {
		return errors.New("the list is not in order")
	}
	for i, identifier := range sortedIdentifiers(list) {
		if identifier != int64(i)+1 && !a.purged {
			return fmt.Errorf("identifier %d follows %d", identifier, i)
		}
	}
	if err := a.duplicates(list); err != nil {
		return err
	}
	for _, inc := range list {
		if err := a.incident(inc); err != nil {
			return fmt.Errorf("%s: %w", inc.Key(), err)
		}
	}
	for _, inc := range list {
		if err := a.slots(inc); err != nil {
			return fmt.Errorf("slots of %s: %w", inc.Key(), err)
		}
	}
	return nil
}

func byStart(a, b incident.Incident) int {
	if c := b.DateStarted.Compare(a.DateStarted); c != 0 {
		return c
	}
	return int(b.Identifier - a.Identifier)
}

func sortedIdentifiers(list []incident.Incident) []int64 {
	var ids []int64
	for _, inc := range list {
		ids = append(ids, inc.Identifier)
	}
	slices.Sort(ids)
	return ids
}

// incident compares the ways to read an incident, and checks each part of it.
func (a *auditor) incident(listed incident.Incident) error {
	key := listed.Key()
	got, err := a.manager.Get(a.ctx, key)
	if err != nil {
		return err
	}
	triggers, err := a.manager.Triggers(a.ctx, key)
	if err != nil {
		return err
	}
	shown, err := a.manager.Details(a.ctx, key, "nobody")
	if err != nil {
		return err
	}
	loaded, err := a.store.Load(a.ctx, key)
	if err != nil {
		return err
	}
	if !same(got, listed) || !same(shown.Incident, listed) || !same(loaded.Incident, listed) {
		return fmt.Errorf("differs:\n  Get %s\n List %s\nshown %s\n Load %s",
			describe(got), describe(listed), describe(shown.Incident), describe(loaded.Incident))
	}
	if !same(triggers, shown.Triggers) || !same(triggers, loaded.Triggers) {
		return fmt.Errorf("triggers differ: %s, %s, %s", describe(triggers), describe(shown.Triggers), describe(loaded.Triggers))
	}
	return errors.Join(a.row(got), a.response(got), a.triggers(got, triggers), a.history(got), a.people(shown))
}

func (a *auditor) row(inc incident.Incident) error {
	isClosed := inc.Status == incident.StatusClosed
	switch {
	case isClosed != (inc.DateClosed != nil):
		return fmt.Errorf("status %v with DateClosed %v", inc.Status, inc.DateClosed)
	case isClosed && inc.DateClosed.Before(inc.DateStarted):
		return fmt.Errorf("closed at %v, before it started at %v", inc.DateClosed, inc.DateStarted)
	case !slices.Contains(statuses, inc.Status):
		return fmt.Errorf("status %v", inc.Status)
	case !isStrictlySorted(inc.Projects):
		return fmt.Errorf("projects %q", inc.Projects)
	case inc.AlertRuleID != "" && len(inc.Projects) == 0:
		return errors.New("an alert rule without a project")
	}
	return a.unique(inc.DetectionUUID, inc.Key())
}

// unique returns an error if the organization has another UUID equal to id. The nil UUID
// may repeat.
func (a *auditor) unique(id uuid.UUID, key incident.Key) error {
	if other, taken := a.uuids[id]; taken {
		return fmt.Errorf("%s has the UUID %s too", other, id)
	}
	if id != uuid.Nil {
		a.uuids[id] = key
	}
	return nil
}

func (a *auditor) triggers(inc incident.Incident, triggers []incident.Trigger) error {
	var ids []incident.TriggerID
	for _, t := range triggers {
		ids = append(ids, t.TriggerID)
		isActive := t.Status == incident.TriggerStatusActive
		switch {
		case t.DateModified.Before(t.DateAdded):
			return fmt.Errorf("trigger %q was changed at %v, before it was added at %v", t.TriggerID, t.DateModified, t.DateAdded)
		case t.Incident != inc.Key():
			return fmt.Errorf("trigger %q is of %s", t.TriggerID, t.Incident)
		case isActive && inc.Status == incident.StatusClosed:
			return fmt.Errorf("trigger %q is active in a closed incident", t.TriggerID)
		case !slices.Contains(severities, t.Severity):
			return fmt.Errorf("trigger %q has the severity %v", t.TriggerID, t.Severity)
		}
	}
	if !isStrictlySorted(ids) {
		return fmt.Errorf("triggers %q", ids)
	}
	return nil
}

func (a *auditor) people(d incident.Details) error {
	subs, err := a.manager.Subscribers(a.ctx, d.Key())
	if err != nil {
		return err
	}
	var subscribers, viewers []incident.UserID
	for _, s := range subs {
		subscribers = append(subscribers, s.UserID)
	}
	for i, s := range d.SeenBy {
		viewers = append(viewers, s.UserID)
		if i > 0 && s.LastSeen.After(d.SeenBy[i-1].LastSeen) {
			return fmt.Errorf("seen by %s", describe(d.SeenBy))
		}
	}
	slices.Sort(viewers)
	if !isStrictlySorted(subscribers) || !isStrictlySorted(viewers) {
		return fmt.Errorf("subscribers %q, viewers %q", subscribers, viewers)
	}
	return nil
}

// slots checks that an active incident of a rule holds its slots, and that no other
// incident holds them.
func (a *auditor) slots(inc incident.Incident) error {
	r := record{incident: inc}
	for _, slot := range r.slots() {
		active, ok, err := a.manager.Active(a.ctx, slot)
		if err != nil {
			return err
		}
		held, err := a.store.LoadSlot(a.ctx, slot)
		if err != nil {
			return err
		}
		if ok != (held.State != nil) || ok && !same(active, held.State.Incident) {
			return fmt.Errorf("%v: active is %s, held by %s", slot, describe(active), describe(held.State))
		}
		if holds := ok && active.Key() == inc.Key(); holds != r.active() {
			return fmt.Errorf("%v: status %v, but active is %s", slot, inc.Status, describe(active))
		}
		if other, taken := a.holders[slot]; taken && r.active() {
			return fmt.Errorf("%v: %s is active too", slot, other)
		}
		if r.active() {
			a.holders[slot] = inc.Key()
		}
	}
	return nil
}

func isStrictlySorted[T ~string](list []T) bool {
	for i := 1; i < len(list); i++ {
		if list[i-1] >= list[i] {
			return false
		}
	}
	return true
}
