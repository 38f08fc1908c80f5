package incident

import "context"

// traced is a Manager that reports its calls to [Options.Trace]. New returns it only if Trace is set,
// so that a Manager without Trace pays nothing. Its calls of the manager, such as the InTx within a
// MarkDuplicate, are part of the reported call.
//
// A panic of Trace before the call leaves the call out. A panic of the function that Trace returned
// comes after the call, with its locks released. Neither changes a transaction, except that it
// unwinds the function of InTx, as any panic there.
type traced struct {
	m    *manager
	inTx context.Context // of the InTx whose function has the Manager; nil outside
}

var _ Manager = (*traced)(nil)

// begin reports the beginning of a call to Trace. It returns the context for the call, and a function
// that reports *err as the end. *err is ErrNoReturn until the call has returned an error or nil.
func (t *traced) begin(ctx context.Context, err *error, name string, key Key) (context.Context, func()) {
	if ctx == nil {
		return nil, func() {} // the call returns an error at once
	}
	c := Call{Name: name, OrganizationID: key.OrganizationID, Identifier: max(key.Identifier, 0), InTx: t.inTx}
	if checkID("organizationId", c.OrganizationID, true) != nil {
		c.OrganizationID = ""
	}
	calling, end := t.m.options.Trace(ctx, c)
	*err = ErrNoReturn
	if calling == nil {
		calling = ctx
	}
	return calling, func() {
		if end != nil {
			end(*err)
		}
	}
}

// onlyKey returns the key of a call for many that names one incident, and only the organization if it
// names several.
func onlyKey(keys []Key) Key {
	switch len(keys) {
	case 0:
		return Key{}
	case 1:
		return keys[0]
	}
	return Key{OrganizationID: keys[0].OrganizationID}
}

// owner returns the manager of this package behind a Manager, nil if there is none.
func owner(m Manager) *manager {
	switch m := m.(type) {
	case *manager:
		return m
	case *traced:
		if m != nil {
			return m.m
		}
	}
	return nil
}

func (t *traced) InTx(ctx context.Context, fn func(tx Manager) error) (err error) {
	ctx, end := t.begin(ctx, &err, "InTx", Key{})
	defer end()
	if fn == nil {
		return t.m.InTx(ctx, nil)
	}
	return t.m.InTx(ctx, func(tx Manager) error { return fn(&traced{m: owner(tx), inTx: ctx}) })
}

func (t *traced) Join(store Store) (Manager, func(), error) {
	tx, done, err := t.m.Join(store)
	if err != nil {
		return nil, nil, err
	}
	return &traced{m: owner(tx)}, done, nil
}

func (t *traced) Run(ctx context.Context) error { return t.m.Run(ctx) }

func (t *traced) Watch(ctx context.Context, org OrganizationID, fn func(Changes) error) error {
	return t.m.Watch(ctx, org, fn)
}

func (t *traced) Stats() Stats { return t.m.Stats() }

func (t *traced) Create(ctx context.Context, n NewIncident) (r Result, err error) {
	ctx, end := t.begin(ctx, &err, "Create", Key{OrganizationID: n.OrganizationID})
	defer end()
	return t.m.Create(ctx, n)
}

func (t *traced) Get(ctx context.Context, key Key) (inc Incident, err error) {
	ctx, end := t.begin(ctx, &err, "Get", key)
	defer end()
	return t.m.Get(ctx, key)
}

func (t *traced) Details(ctx context.Context, key Key, user UserID) (d Details, err error) {
	ctx, end := t.begin(ctx, &err, "Details", key)
	defer end()
	return t.m.Details(ctx, key, user)
}

func (t *traced) List(ctx context.Context, f IncidentFilter) (page IncidentPage, err error) {
	ctx, end := t.begin(ctx, &err, "List", Key{OrganizationID: f.OrganizationID})
	defer end()
	return t.m.List(ctx, f)
}

func (t *traced) Count(ctx context.Context, f IncidentFilter) (c Counts, err error) {
	ctx, end := t.begin(ctx, &err, "Count", Key{OrganizationID: f.OrganizationID})
	defer end()
	return t.m.Count(ctx, f)
}

func (t *traced) Active(ctx context.Context, slot Slot) (inc Incident, found bool, err error) {
	ctx, end := t.begin(ctx, &err, "Active", Key{OrganizationID: slot.OrganizationID})
	defer end()
	return t.m.Active(ctx, slot)
}

func (t *traced) UpdateStatus(ctx context.Context, key Key, u StatusUpdate) (r Result, err error) {
	ctx, end := t.begin(ctx, &err, "UpdateStatus", key)
	defer end()
	return t.m.UpdateStatus(ctx, key, u)
}

func (t *traced) UpdateStatusAll(ctx context.Context, keys []Key, u StatusUpdate) (results []BulkResult, err error) {
	ctx, end := t.begin(ctx, &err, "UpdateStatusAll", onlyKey(keys))
	defer end()
	return t.m.UpdateStatusAll(ctx, keys, u)
}

func (t *traced) Edit(ctx context.Context, key Key, e Edit) (r Result, err error) {
	ctx, end := t.begin(ctx, &err, "Edit", key)
	defer end()
	return t.m.Edit(ctx, key, e)
}

func (t *traced) MarkDuplicate(ctx context.Context, key Key, d Duplicate) (r Result, err error) {
	ctx, end := t.begin(ctx, &err, "MarkDuplicate", key)
	defer end()
	return t.m.MarkDuplicate(ctx, key, d)
}

func (t *traced) LinkProject(ctx context.Context, key Key, project ProjectID) (r Result, err error) {
	ctx, end := t.begin(ctx, &err, "LinkProject", key)
	defer end()
	return t.m.LinkProject(ctx, key, project)
}

func (t *traced) UnlinkProject(ctx context.Context, key Key, project ProjectID) (r Result, err error) {
	ctx, end := t.begin(ctx, &err, "UnlinkProject", key)
	defer end()
	return t.m.UnlinkProject(ctx, key, project)
}

func (t *traced) Fire(ctx context.Context, f Firing) (r Result, err error) {
	ctx, end := t.begin(ctx, &err, "Fire", Key{OrganizationID: f.OrganizationID})
	defer end()
	return t.m.Fire(ctx, f)
}

func (t *traced) Resolve(ctx context.Context, r Resolution) (result Result, err error) {
	ctx, end := t.begin(ctx, &err, "Resolve", Key{OrganizationID: r.OrganizationID})
	defer end()
	return t.m.Resolve(ctx, r)
}

func (t *traced) Triggers(ctx context.Context, key Key) (triggers []Trigger, err error) {
	ctx, end := t.begin(ctx, &err, "Triggers", key)
	defer end()
	return t.m.Triggers(ctx, key)
}

func (t *traced) Acknowledge(ctx context.Context, key Key, a Acknowledgement) (r Result, err error) {
	ctx, end := t.begin(ctx, &err, "Acknowledge", key)
	defer end()
	return t.m.Acknowledge(ctx, key, a)
}

func (t *traced) AcknowledgeAll(ctx context.Context, keys []Key, a Acknowledgement) (results []BulkResult, err error) {
	ctx, end := t.begin(ctx, &err, "AcknowledgeAll", onlyKey(keys))
	defer end()
	return t.m.AcknowledgeAll(ctx, keys, a)
}

func (t *traced) Assign(ctx context.Context, key Key, a Assignment) (r Result, err error) {
	ctx, end := t.begin(ctx, &err, "Assign", key)
	defer end()
	return t.m.Assign(ctx, key, a)
}

func (t *traced) Activities(ctx context.Context, key Key, f ActivityFilter) (page ActivityPage, err error) {
	ctx, end := t.begin(ctx, &err, "Activities", key)
	defer end()
	return t.m.Activities(ctx, key, f)
}

func (t *traced) Comment(ctx context.Context, key Key, n NewComment) (a Activity, err error) {
	ctx, end := t.begin(ctx, &err, "Comment", key)
	defer end()
	return t.m.Comment(ctx, key, n)
}

func (t *traced) EditComment(ctx context.Context, key Key, e CommentEdit) (a Activity, err error) {
	ctx, end := t.begin(ctx, &err, "EditComment", key)
	defer end()
	return t.m.EditComment(ctx, key, e)
}

func (t *traced) DeleteComment(ctx context.Context, key Key, e CommentEdit) (a Activity, err error) {
	ctx, end := t.begin(ctx, &err, "DeleteComment", key)
	defer end()
	return t.m.DeleteComment(ctx, key, e)
}

func (t *traced) MarkSeen(ctx context.Context, key Key, user UserID) (seen Seen, err error) {
	ctx, end := t.begin(ctx, &err, "MarkSeen", key)
	defer end()
	return t.m.MarkSeen(ctx, key, user)
}

func (t *traced) SeenBy(ctx context.Context, key Key) (seen []Seen, err error) {
	ctx, end := t.begin(ctx, &err, "SeenBy", key)
	defer end()
	return t.m.SeenBy(ctx, key)
}

func (t *traced) Subscribe(ctx context.Context, key Key, user UserID) (sub Subscription, err error) {
	ctx, end := t.begin(ctx, &err, "Subscribe", key)
	defer end()
	return t.m.Subscribe(ctx, key, user)
}

func (t *traced) Unsubscribe(ctx context.Context, key Key, user UserID) (err error) {
	ctx, end := t.begin(ctx, &err, "Unsubscribe", key)
	defer end()
	return t.m.Unsubscribe(ctx, key, user)
}

func (t *traced) Subscribers(ctx context.Context, key Key) (subs []Subscription, err error) {
	ctx, end := t.begin(ctx, &err, "Subscribers", key)
	defer end()
	return t.m.Subscribers(ctx, key)
}

func (t *traced) Parked(ctx context.Context, f ParkedFilter) (page ParkedPage, err error) {
	ctx, end := t.begin(ctx, &err, "Parked", Key{f.OrganizationID, f.Identifier})
	defer end()
	return t.m.Parked(ctx, f)
}

func (t *traced) Replay(ctx context.Context, s ParkedSelection) (n int, err error) {
	ctx, end := t.begin(ctx, &err, "Replay", Key{s.OrganizationID, s.Identifier})
	defer end()
	return t.m.Replay(ctx, s)
}

func (t *traced) DiscardParked(ctx context.Context, s ParkedSelection) (n int, err error) {
	ctx, end := t.begin(ctx, &err, "DiscardParked", Key{s.OrganizationID, s.Identifier})
	defer end()
	return t.m.DiscardParked(ctx, s)
}

func (t *traced) Discard(ctx context.Context, notifier string) (n int, err error) {
	ctx, end := t.begin(ctx, &err, "Discard", Key{})
	defer end()
	return t.m.Discard(ctx, notifier)
}

func (t *traced) Remind(ctx context.Context, key Key, r Reminder) (err error) {
	ctx, end := t.begin(ctx, &err, "Remind", key)
	defer end()
	return t.m.Remind(ctx, key, r)
}

func (t *traced) CancelReminder(ctx context.Context, key Key, name string) (err error) {
	ctx, end := t.begin(ctx, &err, "CancelReminder", key)
	defer end()
	return t.m.CancelReminder(ctx, key, name)
}

func (t *traced) Reminders(ctx context.Context, key Key) (reminders []Reminder, err error) {
	ctx, end := t.begin(ctx, &err, "Reminders", key)
	defer end()
	return t.m.Reminders(ctx, key)
}

func (t *traced) Purge(ctx context.Context, p Purge) (done Purged, err error) {
	ctx, end := t.begin(ctx, &err, "Purge", Key{OrganizationID: p.OrganizationID})
	defer end()
	return t.m.Purge(ctx, p)
}

func (t *traced) EraseUser(ctx context.Context, e Erasure) (n int, err error) {
	ctx, end := t.begin(ctx, &err, "EraseUser", Key{OrganizationID: e.OrganizationID})
	defer end()
	return t.m.EraseUser(ctx, e)
}

func (t *traced) DeleteOrganization(ctx context.Context, org OrganizationID) (n int, err error) {
	ctx, end := t.begin(ctx, &err, "DeleteOrganization", Key{OrganizationID: org})
	defer end()
	return t.m.DeleteOrganization(ctx, org)
}

func (t *traced) Organizations(ctx context.Context, after OrganizationID, limit int) (page []OrganizationID, err error) {
	ctx, end := t.begin(ctx, &err, "Organizations", Key{})
	defer end()
	return t.m.Organizations(ctx, after, limit)
}

func (t *traced) Report(ctx context.Context, f ReportFilter) (r Report, err error) {
	ctx, end := t.begin(ctx, &err, "Report", Key{OrganizationID: f.OrganizationID})
	defer end()
	return t.m.Report(ctx, f)
}
