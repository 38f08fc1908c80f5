package incident

import "context"

// Changes are the changes of an organization's incidents since the previous call of the function
// that was passed to [WatchManager.Watch].
type Changes struct {
	// Incidents lists the changed incidents in order of Identifier. An incident that has
	// changed several times is listed once, with its newest numbers. A comment raises
	// Activities and leaves Version as it is. An edited or deleted comment leaves both as
	// they are.
	Incidents []IncidentVersion

	// Resync reports that other incidents may have changed too, and that versions may have
	// gone back. The host must read everything again that it shows. Incidents is then
	// empty.
	Resync bool
}

// WatchManager is the part of [Manager] that reports changes to the host.
type WatchManager interface {
	// Watch calls fn after incidents of an organization have changed, so that a host can
	// refresh pages and lists. It returns nil after ctx has ended, and an error of fn
	// unchanged. fn runs in the goroutine of the caller, and may call the Manager.
	//
	// Watch reports changes of an incident's state and triggers, and comments that were
	// added, edited or deleted. It reports a deleted incident with a Version above all
	// versions that it had; Get then returns [ErrNotFound]. It does not report views and
	// subscriptions. It reports a
	// change after the commit: a read in fn returns the change or a later state. It
	// reports no change of a transaction that was undone. It may report a change twice,
	// and an incident that has not changed, for example if the outcome of a write is
	// unknown.
	//
	// Watch reports every change that is committed during the call, or a Resync:
	//
	//   - The first Changes is a Resync. The host must read its data in that call of fn or
	//     later.
	//   - Changes that are committed while fn runs are gathered for the next call of fn.
	//     For each organization, the Manager remembers 1,000 changed incidents. If more
	//     have changed since the previous call of fn, the next Changes is a Resync.
	//   - A slow fn delays neither writers nor other calls of Watch. A host that wants
	//     fewer calls can wait in fn.
	//
	// While [Manager.Run] runs, Watch reports the changes of all processes that share the
	// store, usually within 50 ms. After the connection to the store was lost, it reports
	// what has changed meanwhile, or a Resync. While the changes of other processes are
	// not known, it reports the changes of this process, and a Resync every 5 s. This is
	// the case without Run, during an outage of the store, and with a shared store that is
	// no [FeedStore]. A change in a joined transaction is then reported after done is
	// called: see [Manager.Join].
	//
	// During any number of calls of Watch, Run asks a shared store for changes 25 times a
	// second.
	//
	// Watch returns [ErrInvalid] for an invalid organization, a nil ctx or fn, and in a
	// transaction.
	Watch(ctx context.Context, org OrganizationID, fn func(Changes) error) error
}
