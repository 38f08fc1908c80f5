package incident

import (
	"bytes"
	"context"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
)

// insiders records the goroutines that are within a transaction of a Manager, so that the
// Manager refuses its own calls there.
//
// Such a call would wait for the end of the transaction, and the transaction for the call:
// for the store's lock, the last connection of the pool, or a row that the transaction has
// locked. The obvious marker is a context, but the function that is passed to InTx gets none
// and may call with any. Only the number of its goroutine identifies it.
//
//  1. enter records the number of the goroutine, and has compares that of the caller.
//  2. The runtime has no function that returns the number, but prints it in a stack trace.
//     golang.org/x/net/http2 parses it in the same way. It takes about a microsecond.
//  3. has asks for it only while a transaction of this Manager is open.
//
// A missed call is a call that waits, as before. Goroutines that the function starts are not
// recognized, except those of an [Authorizer] that pass its context on.
type insiders struct {
	open atomic.Int32 // transactions

	mu          sync.Mutex // guards byGoroutine
	byGoroutine map[uint64]*transaction
}

// enter records that the calling goroutine is within tx, until leave is called.
func (in *insiders) enter(tx *transaction) (leave func()) {
	id := goroutineID()
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.byGoroutine == nil {
		in.byGoroutine = map[uint64]*transaction{}
	}
	outer := in.byGoroutine[id]
	in.byGoroutine[id] = tx
	in.open.Add(1)
	return func() {
		in.mu.Lock()
		defer in.mu.Unlock()
		in.open.Add(-1)
		if in.byGoroutine[id] = outer; outer == nil {
			delete(in.byGoroutine, id)
		}
	}
}

// insideKey is the context key of the transaction in which an Authorizer is asked.
type insideKey struct{ *insiders }

// has reports whether the caller is within a transaction that has not ended.
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
	tx := in.byGoroutine[id]
	return tx != nil && !tx.ended.Load()
}

// errInside is returned for a call of the Manager within its own transaction.
var errInside = invalid("Manager", "was called within its own transaction, for whose end it would wait; "+
	"call the Manager that InTx passed to its function, and no Manager from an Authorizer, a Cache or Options.Now")

// goroutineID returns the number of the calling goroutine, which is never used again.
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
