package coherence

import (
	"context"
	"sync/atomic"
)

// readers tells a Feed whether anybody reads, and wakes it. Its state is one of these:
//
//	unread → wanted   a reader has come
//	wanted → unread   the feed has looked
//	unread → asleep   the feed has nobody to follow the changes for
//	asleep → wanted   a reader has come, and wakes the feed
//
// A reader writes the state only if it changes, so that readers on several processors do not
// slow each other down.
type readers struct {
	state atomic.Int32
	woken chan struct{} // ends the sleep; has room for one
}

const (
	unread int32 = iota // nobody has read since the feed looked last
	wanted              // somebody has
	asleep              // the feed sleeps until somebody reads
)

// note notes that somebody reads.
func (r *readers) note() {
	if r.state.Load() != wanted {
		r.want()
	}
}

func (r *readers) want() {
	if r.state.Swap(wanted) == asleep {
		r.woken <- struct{}{}
	}
}

// came reports whether anybody has read since the last call.
func (r *readers) came() bool { return r.state.CompareAndSwap(wanted, unread) }

// sleep calls begun and waits until somebody reads or ctx ends. It returns at once if
// somebody has read since the last call of came.
func (r *readers) sleep(ctx context.Context, begun func()) {
	if !r.state.CompareAndSwap(unread, asleep) {
		return
	}
	begun()
	select {
	case <-r.woken:
	case <-ctx.Done():
		if r.state.Swap(wanted) != asleep {
			<-r.woken // a reader is about to send it
		}
	}
}
