package incident

import (
	"bytes"
	"context"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
)

// insiders knows which goroutines are within a transaction of a Manager, so that a call of
// the Manager itself is refused there. It would wait for the end of the transaction, which
// waits for the call: for the store's lock, for the last connection of the pool, or for a
// row that the transaction has locked.
//
// The function that is passed to InTx gets no context of ours, and calls with whatever one
// it has, so that only the number of its goroutine tells. The runtime has no function for
// that, but prints it, which takes about a microsecond; golang.org/x/net/http2 reads it in
// the same way. It is asked only while a transaction of this Manager is open. Goroutines
// that the function starts are not recognised, except those of an [Authorizer] that pass
// its context on.
type insiders struct {
	open atomic.Int32

	mu sync.Mutex // guards by
	by map[uint64]*transaction
}

// enter says that this goroutine is within tx. It returns the function that ends that.
func (in *insiders) enter(tx *transaction) (leave func()) {
	id := goroutineID()
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.by == nil {
		in.by = map[uint64]*transaction{}
	}
	outer := in.by[id]
	in.by[id] = tx
	in.open.Add(1)
	return func() {
		in.mu.Lock()
		defer in.mu.Unlock()
		in.open.Add(-1)
		if in.by[id] = outer; outer == nil {
			delete(in.by, id)
		}
	}
}

// insideKey is the context key of the transaction in which an Authorizer is asked.
type insideKey struct{ *insiders }

// has reports whether a call is made within a transaction that is still open.
func (in *insiders) has(ctx context.Context) bool {
	if in.open.Load() == 0 {
		return false
	}
	if tx, ok := ctx.Value(insideKey{in}).(*transaction); ok && !tx.ended.Load() {
		return true
	}
	id := goroutineID()
	in.mu.Lock()
	defer in.mu.Unlock()
	tx := in.by[id]
	return tx != nil && !tx.ended.Load()
}

// errInside refuses a call of the Manager within its own transaction.
var errInside = invalid("Manager", "was called within its own transaction, for whose end it would wait; "+
	"call the Manager that InTx passed to its function, and none from an Authorizer, a Cache or Options.Now")

// goroutineID returns the number of the calling goroutine, which no other one ever has.
func goroutineID() uint64 {
	var buf [64]byte
	text := bytes.TrimPrefix(buf[:runtime.Stack(buf[:], false)], []byte("goroutine "))
	number, _, _ := bytes.Cut(text, []byte(" "))
	id, err := strconv.ParseUint(string(number), 10, 64)
	if err != nil {
		panic("incident: the runtime does not print the number of a goroutine: " + string(text))
	}
	return id
}
