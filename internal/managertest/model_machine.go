package managertest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/incidentkit/incident"
)

// machine makes calls on a Manager and on the model, and compares the results.
type machine struct {
	// callers are the Managers that calls are made on. manager is the Manager that state
	// is read from: the only caller or, if there are several with caches of their own,
	// plain.
	callers []incident.Manager
	manager incident.Manager
	w       *world
	faults  *faultPlan

	// store is the store without injected faults. plain is a Manager of store without a
	// cache.
	store incident.Store
	plain incident.Manager

	slots map[incident.Slot]int64 // highest version seen of each slot
	looks int
}

// setup configures a machine.
type setup struct {
	store   incident.Store
	cache   incident.Cache // defaults to the Manager's default
	guarded bool           // with an Authorizer
	focused bool           // on operations
	quiet   bool           // without an outbox
	local   bool           // the result of the store's Local

	// processes, if above 1, is the number of Managers on the store. Their caches do not
	// follow each other's writes, so they only write. Writes must be correct whatever the
	// caches hold.
	processes int

	// decorate, if not nil, wraps the Manager that calls are made on.
	decorate func(incident.Manager) incident.Manager
}

func newMachine(s setup) (*machine, error) {
	m := &machine{
		w:      newWorld(start),
		faults: &faultPlan{},
		store:  s.store,
		slots:  map[incident.Slot]int64{},
	}
	// If a call breaks several rules, the reported rule may depend on the cache.
	m.w.guarded, m.w.careful, m.w.focused = s.guarded, s.processes > 1, s.focused
	_, m.w.outbox = s.store.(incident.OutboxStore)
	_, m.w.deletes = s.store.(incident.RetentionStore)
	m.faults.disarm()
	for range max(1, s.processes) {
		caller, err := incident.New(withHook(s.store, m.faults, s.local), m.options(s))
		if err != nil {
			return nil, err
		}
		if s.decorate != nil {
			caller = s.decorate(caller)
		}
		m.callers = append(m.callers, caller)
	}
	s.cache = incident.NoCache
	var err error
	m.plain, err = incident.New(s.store, m.options(s))
	m.manager = m.callers[0]
	if len(m.callers) > 1 {
		m.manager = m.plain
	}
	return m, err
}

func (m *machine) options(s setup) *incident.Options {
	o := &incident.Options{
		// Finer than a microsecond and in another zone: the library has to normalize it.
		Now:    func() time.Time { return m.w.now.Add(999).In(zone) },
		Cache:  s.cache,
		Logger: slog.New(slog.DiscardHandler),
	}
	if _, ok := s.store.(incident.OutboxStore); ok {
		o.Notifier = incident.NotifyElsewhere
		o.Notifiers = map[string]incident.NamedNotifier{}
		for _, n := range notifiers[1:] {
			o.Notifiers[n.Notifier] = incident.NamedNotifier{Notifier: incident.NotifyElsewhere, Notify: incident.NotifyOptions{Types: n.Types}}
		}
	}
	if s.guarded {
		o.Authorizer = incident.AuthorizerFunc(authorized)
	}
	return o
}

func authorized(
	_ context.Context, _ incident.OrganizationID, projects []incident.ProjectID, users []incident.UserID,
) ([]incident.UserID, error) {
	allowed := []incident.UserID{"somebody else"}
	for _, u := range users {
		if maySubscribe(u, projects) {
			allowed = append(allowed, u)
		}
	}
	spoil(projects, nil)
	spoil(users, nil)
	return allowed, nil
}

// step makes a call with a fault at store call number at, then checks the result and the
// visible state.
func (m *machine) step(c call, caller incident.Manager, at int, f fault) error {
	if c.isRead && caller != m.manager {
		_, _ = c.do(context.Background(), caller) // may be stale, and fills the caller's cache
		caller = m.manager
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	before := m.w
	if f != faultNone {
		m.w = before.clone()
	}
	want, wantErr := c.expect(m.w)

	if f == faultCanceled {
		cancel()
	}
	m.faults.arm(at, f, cancel)
	got, gotErr := c.do(ctx, caller)
	m.faults.disarm()

	var err error
	switch {
	case f != faultNone && isOutage(gotErr) && got != nil && len(c.parts) > 0:
		err = m.settleEach(c, before, got.(bulkAnswer))
	case f != faultNone && isOutage(gotErr):
		err = m.settle(c, before, gotErr)
	case f == faultCanceled && category(gotErr) != incident.ErrInvalid:
		err = fmt.Errorf("a call with a canceled context returned %q", text(gotErr))
	default:
		err = m.compare(want, wantErr, got, gotErr)
	}
	if err != nil {
		return err
	}
	scribble(got)
	if c.endsSlots {
		maps.DeleteFunc(m.slots, func(s incident.Slot, _ int64) bool { return slices.Contains(c.orgs, s.OrganizationID) })
	}
	return m.look(c)
}

func (m *machine) compare(want any, wantErr error, got any, gotErr error) error {
	if err := checkError(wantErr, gotErr); err != nil {
		return err
	}
	if tx, ok := want.(txAnswer); ok {
		if isOwn(wantErr) && gotErr != wantErr {
			return fmt.Errorf("InTx returned %q, want its function's own error", gotErr)
		}
		return tx.check(got.(txAnswer))
	}
	if gotErr != nil {
		if bulk, ok := want.(bulkAnswer); ok {
			return bulk.check(got.(bulkAnswer))
		}
		return nil
	}
	return checkValue(m.w, want, got)
}

func isOwn(err error) bool { return errors.Is(err, errAbandoned) }

// settle finds out whether a call without an answer wrote. The state must be that before
// the call or, only if the outcome is unknown, that after it. settle keeps the matching
// model.
func (m *machine) settle(c call, before *world, got error) error {
	if n := countCategories(got); n != 1 {
		return fmt.Errorf("error %q matches %d categories, want one", got, n)
	}
	after := m.w
	m.w = before
	errBefore := m.lookAtAll(m.plain, before, c.orgs)
	if errBefore == nil {
		return nil
	}
	if !errors.Is(got, incident.ErrUnknownOutcome) {
		return fmt.Errorf("after %q something was written: %w", got, errBefore)
	}
	m.w = after
	if err := m.lookAtAll(m.plain, after, c.orgs); err != nil {
		return fmt.Errorf("after %q, a part was written:\nif nothing was: %w\nif all was: %w", got, errBefore, err)
	}
	return nil
}

func (m *machine) lookAtAll(manager incident.Manager, w *world, called []incident.OrganizationID) error {
	for _, o := range orgs {
		if !slices.Contains(called, o) {
			continue
		}
		if err := m.lookAt(manager, w, o); err != nil {
			return err
		}
	}
	return nil
}

// look compares the organizations of the call with the model and, every twelfth time, all
// of them.
func (m *machine) look(c call) error {
	m.looks++
	if m.looks%12 == 0 {
		return m.lookThrough(m.manager, m.w)
	}
	return m.lookAtAll(m.manager, m.w, c.orgs)
}

// finish compares everything, with and without the cache, and audits it.
func (m *machine) finish() error {
	if err := m.lookThrough(m.manager, m.w); err != nil {
		return err
	}
	if err := m.lookThrough(m.plain, m.w); err != nil {
		return fmt.Errorf("without a cache: %w", err)
	}
	audit := Audit
	if m.w.purged {
		audit = AuditPurged
	}
	err := audit(context.Background(), m.manager, m.store, orgs...)
	if outbox, ok := m.store.(incident.OutboxStore); ok && err == nil {
		err = m.auditNotifiers(outbox)
	}
	return err
}

// auditNotifiers drains the outbox, and compares it with the logs and the reminders of the model.
func (m *machine) auditNotifiers(s incident.OutboxStore) error {
	for _, n := range notifiers {
		held, err := auditNotifier(context.Background(), m.plain, s, n, orgs...)
		if err != nil {
			return fmt.Errorf("for notifier %q: %w", n.Notifier, err)
		}
		for _, org := range orgs {
			for r := range m.w.org(org).living() {
				want := slices.DeleteFunc(r.reminderList(), func(r incident.Reminder) bool { return r.Notifier != n.Notifier })
				got := held.reminders[r.key()]
				if err := withoutUUIDs(got); err != nil {
					return err
				}
				slices.SortFunc(got, func(a, b incident.Reminder) int { return cmp.Compare(a.Name, b.Name) })
				if !slices.EqualFunc(want, got, func(a, b incident.Reminder) bool { return same(a, b) }) {
					return fmt.Errorf("for notifier %q the reminders of %s were %+v, want %+v", n.Notifier, r.key(), got, want)
				}
			}
		}
	}
	return nil
}

func (m *machine) lookThrough(manager incident.Manager, w *world) error {
	for _, o := range orgs {
		err := m.lookAt(manager, w, o)
		all := pages(o)
		if _, ok := m.store.(incident.ReportStore); ok {
			all = append(all, reports(w, o)...)
		}
		for _, c := range all {
			err = cmp.Or(err, m.see(manager, w, c))
		}
		if err = cmp.Or(err, m.lookAtSlots(w, o)); err != nil {
			return err
		}
	}
	return nil
}

func (m *machine) lookAt(manager incident.Manager, w *world, org incident.OrganizationID) error {
	for _, c := range views(w, org, users[m.looks%len(users)]) {
		if err := m.see(manager, w, c); err != nil {
			return err
		}
	}
	for i, slot := range allSlots(org) {
		if i%3 != m.looks%3 && w.holder(slot) == nil {
			continue
		}
		if err := m.see(manager, w, active(slot)); err != nil {
			return err
		}
	}
	return nil
}

// see compares a read with the model.
func (m *machine) see(manager incident.Manager, w *world, c call) error {
	want, wantErr := c.expect(w)
	got, err := c.do(context.Background(), manager)
	if err = checkError(wantErr, err); err == nil && wantErr == nil {
		err = checkValue(w, want, got)
	}
	scribble(got)
	if err != nil {
		return fmt.Errorf("then %s: %w", c, err)
	}
	return nil
}

// views are the reads that show everything in an organization.
func views(w *world, org incident.OrganizationID, user incident.UserID) []call {
	n := int64(len(w.org(org).records))
	var calls []call
	for i := int64(1); i <= n; i++ {
		key := incident.Key{OrganizationID: org, Identifier: i}
		calls = append(calls,
			get(key), triggers(key), details(key, user), subscribers(key), reminders(key),
			activities(key, incident.ActivityFilter{Limit: incident.MaxPageSize}),
		)
	}
	if n > 0 { // details covers the other incidents
		calls = append(calls, seenBy(incident.Key{OrganizationID: org, Identifier: n}))
	}
	next := incident.Key{OrganizationID: org, Identifier: n + 1}
	calls = append(calls, get(next), details(next, user),
		list(incident.IncidentFilter{OrganizationID: org, Limit: incident.MaxPageSize}))
	return calls
}

// pages are reads of an organization by small pages, by foreign cursors, and of all
// slots.
func pages(org incident.OrganizationID) []call {
	f := incident.IncidentFilter{OrganizationID: org, Limit: 2}
	first, other, closed := f, f, f
	first.Limit = 1
	other.OrganizationID += "#1"
	closed.Statuses = []incident.Status{incident.StatusClosed}
	labeled, assigned, acknowledged := f, f, f
	labeled.Labels = map[string]string{"service": "checkout"}
	assigned.Assignee = users[0]
	acknowledged.Acknowledged = new(true)
	key := incident.Key{OrganizationID: org, Identifier: 1}
	calls := []call{
		list(labeled), list(assigned), list(acknowledged),
		list(f), misuse(first, other), misuse(first, closed), count(incident.IncidentFilter{OrganizationID: org}),
		activities(key, incident.ActivityFilter{Limit: 2}),
		activities(key, incident.ActivityFilter{Limit: 1, Descending: true}),
	}
	for _, slot := range allSlots(org) {
		calls = append(calls, active(slot))
	}
	return calls
}

// lookAtSlots checks that the store has the same holders as the model, and that the
// versions of slots never decrease.
func (m *machine) lookAtSlots(w *world, org incident.OrganizationID) error {
	for _, slot := range allSlots(org) {
		held, err := m.store.LoadSlot(context.Background(), slot)
		if err != nil {
			return err
		}
		want, _ := w.active(slot)
		got := activeAnswer{OK: held.State != nil}
		if held.State != nil {
			got.Incident = held.State.Incident
		}
		if err := checkValue(w, want, got); err != nil {
			return fmt.Errorf("LoadSlot(%v): %w", slot, err)
		}
		if held.Version < m.slots[slot] {
			return fmt.Errorf("LoadSlot(%v) has version %d after %d", slot, held.Version, m.slots[slot])
		}
		m.slots[slot] = held.Version
	}
	return nil
}
