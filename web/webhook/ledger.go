package webhook

import (
	"cmp"
	"context"
	"sync"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// ID identifies a notification of a [Notifier]. A NotificationUUID is unique only within its
// organization. The NotificationUUID of an activity is the same for each Notifier of a Manager.
type ID struct {
	Organization incident.OrganizationID
	Notification uuid.UUID
}

// Ledger remembers the handled notifications of one [Notifier]. Receivers of other Notifiers need
// ledgers of their own.
//
// In a database a Ledger is a table with the ID as its key: Once begins a transaction,
// inserts the row, calls handle, and commits. The database makes a concurrent insert of
// the same row wait. If handle writes in that transaction too, its effect is exactly
// once, even after a crash.
type Ledger interface {
	// Once calls handle unless a call with the same ID has succeeded before. first
	// reports whether this call succeeded; false with a nil error means a repetition.
	//
	// Concurrent calls with the same ID, in all processes that share the Ledger, must
	// wait for each other. A waiting call must not return nil before the running call has
	// succeeded: its sender would take the notification for delivered. If handle fails,
	// the ID must not be remembered, and the next waiting call runs its own handle.
	//
	// Once returns the error of handle unchanged, and may return other errors. handle
	// does not panic.
	Once(ctx context.Context, id ID, handle func(context.Context) error) (first bool, err error)
}

// DefaultLedgerSize is the default capacity of a [MemoryLedger], which takes about 10
// MiB.
const DefaultLedgerSize = 65_536

// MemoryLedger is a [Ledger] in the memory of the process. When it is full it forgets the
// oldest notifications, and at the end of the process all of them. A repetition of a
// forgotten notification is handled again.
type MemoryLedger struct {
	size int

	mu      sync.Mutex // guards the fields below
	handled map[ID]bool
	order   []ID // ring of the handled IDs; the oldest is at next
	next    int
	running map[ID]chan struct{} // closed at the end of the call
}

var _ Ledger = (*MemoryLedger)(nil)

// NewMemoryLedger returns an empty ledger. A size below 1 means [DefaultLedgerSize].
func NewMemoryLedger(size int) *MemoryLedger {
	return &MemoryLedger{
		size:    cmp.Or(max(size, 0), DefaultLedgerSize),
		handled: map[ID]bool{},
		running: map[ID]chan struct{}{},
	}
}

// Once implements [Ledger].
func (l *MemoryLedger) Once(ctx context.Context, id ID, handle func(context.Context) error) (first bool, err error) {
	if first, err = l.begin(ctx, id); err != nil || !first {
		return false, err
	}
	handled := false
	defer func() { l.end(id, handled) }() // even if handle exits the goroutine
	if err := handle(ctx); err != nil {
		return false, err
	}
	handled = true
	return true, nil
}

// begin waits while another call handles id. It returns true if id is unhandled; then the
// caller must handle it and call end.
func (l *MemoryLedger) begin(ctx context.Context, id ID) (bool, error) {
	for {
		l.mu.Lock()
		handled, running := l.handled[id], l.running[id]
		if !handled && running == nil {
			l.running[id] = make(chan struct{})
		}
		l.mu.Unlock()
		if handled || running == nil {
			return !handled, nil
		}
		select {
		case <-running:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

func (l *MemoryLedger) end(id ID, handled bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.running[id])
	delete(l.running, id)
	if !handled {
		return
	}
	l.handled[id] = true
	if len(l.order) < l.size {
		l.order = append(l.order, id)
		return
	}
	delete(l.handled, l.order[l.next])
	l.order[l.next] = id
	l.next = (l.next + 1) % l.size
}
