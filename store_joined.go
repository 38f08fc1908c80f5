package incident

// JoinedStore is a [Store] that can be part of a transaction of the host. It is the argument
// of [Manager.Join].
type JoinedStore interface {
	Store

	// JoinedTo returns the store from which this one was joined to a transaction of the
	// host, and nil if it is part of none. The answer is constant. [Manager.Join] accepts the
	// store if that is the store of the Manager, or is wrapped in it: see [Store].
	JoinedTo() Store
}
