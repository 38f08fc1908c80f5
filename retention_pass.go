package incident

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident/internal/duration"
)

const (
	// retentionTask names the lease of the pass.
	retentionTask = "retention"

	// retentionLease is how long a process that dies during a pass keeps the others from
	// continuing.
	retentionLease = time.Minute

	// retentionTimeout bounds a call of the store. It is shorter than the rest of a lease that
	// is not renewed yet.
	retentionTimeout = 10 * time.Second

	// retentionGrace is how long a batch may continue after the end of Run, so that it need not
	// be undone.
	retentionGrace = time.Second

	// minRetentionWait is the least wait for the lease of another process.
	minRetentionWait = 100 * time.Millisecond

	// retentionPatience is how often a call of the store is tried in a pass.
	retentionPatience = 3
)

// Failed calls of the store are repeated after a backoff, which doubles.
const (
	firstRetentionBackoff = time.Second
	maxRetentionBackoff   = time.Minute
)

// retainer deletes incidents by Options.Retention, pass by pass over all organizations. Of the
// processes, only the holder of a lease does it:
//
//  1. Each process asks for the lease, and waits while another process holds it.
//  2. The holder makes a pass, and renews the lease between two batches. If the lease is lost, the
//     pass ends.
//  3. After the pass, the holder prolongs the lease until the next pass is due, so that no other
//     process repeats it. Then all processes ask again.
//
// If a holder dies, the lease ends by the clock of the store. Two passes at a time, for example
// after the holder was suspended, cost only time: each deletion finds out again what is due.
//
// A retainer is for one goroutine, except for stats.
type retainer struct {
	m      *manager
	store  RetentionStore
	holder string // identifies this process

	until time.Time // when the lease ends
	now   time.Time // of the store's clock, when the lease was last renewed

	failing  bool                        // a failure was logged, and no recovery since
	troubled bool                        // a call of the present pass has failed
	refused  map[OrganizationID]struct{} // whose KeepFor was logged

	record *retentionRecord
}

// retentionRecord counts what the calls of Run delete.
type retentionRecord struct {
	purged, passes atomic.Uint64
	last           atomic.Pointer[lastPass] // nil before the first
}

// lastPass is the outcome of a complete pass.
type lastPass struct {
	held  int
	ended time.Time
}

// stats returns the counters and the last pass.
func (r *retentionRecord) stats() RetentionStats {
	s := RetentionStats{Purged: r.purged.Load(), Passes: r.passes.Load()}
	if last := r.last.Load(); last != nil {
		s.Held, s.PassAge = last.held, time.Since(last.ended)
	}
	return s
}

// run deletes until ctx ends.
func (r *retainer) run(ctx context.Context) {
	backoff := firstRetentionBackoff
	for ctx.Err() == nil {
		switch wait, err := r.lease(ctx, retentionLease); {
		case err != nil:
			duration.Pause(ctx, backoff)
			backoff = min(2*backoff, maxRetentionBackoff)
			continue
		case wait > 0:
			r.recovered(ctx)
			duration.Pause(ctx, max(wait, minRetentionWait))
		case r.pass(ctx):
			interval := r.m.options.Retention.Interval
			_, _ = r.lease(ctx, interval) // if this fails, another process may make a pass early
			duration.Pause(ctx, interval)
		}
		backoff = firstRetentionBackoff
	}
}

// lease asks for the lease for a time, and returns how long another process holds it.
func (r *retainer) lease(ctx context.Context, d time.Duration) (wait time.Duration, err error) {
	asked := time.Now()
	calling, cancel := context.WithTimeout(ctx, retentionTimeout)
	defer cancel()
	l, err := guarded(func() (TaskLease, error) { return r.store.Lease(calling, retentionTask, r.holder, d) })
	switch {
	case err != nil:
		r.failed(ctx, err)
	case l.Wait <= 0:
		r.until, r.now = asked.Add(d), l.Now
	}
	return l.Wait, err
}

// leased reports whether a batch may begin. It renews the lease in time.
func (r *retainer) leased(ctx context.Context) bool {
	if time.Until(r.until) > retentionLease/2 {
		return ctx.Err() == nil
	}
	wait, err := r.lease(ctx, retentionLease)
	if err != nil { // a lease that is not renewed yet serves for another batch
		return ctx.Err() == nil && time.Until(r.until) > retentionTimeout
	}
	return wait <= 0
}

// pass deletes the due incidents of all organizations. It reports whether it came to its end. It
// does not if the lease is lost, ctx ends, or the organizations cannot be read.
func (r *retainer) pass(ctx context.Context) bool {
	p, held, after := newPace(maxPurgeBatch), 0, OrganizationID("")
	r.troubled = false
	for {
		var page []OrganizationID
		done := r.try(ctx, func() (err error) {
			calling, cancel := context.WithTimeout(ctx, retentionTimeout)
			defer cancel()
			page, err = guarded(func() ([]OrganizationID, error) { return r.store.Organizations(calling, after, MaxPageSize) })
			return err
		})
		if !done {
			return false
		}
		for _, org := range page {
			r.organization(ctx, org, &p, &held)
			if !r.leased(ctx) {
				return false
			}
		}
		if len(page) < MaxPageSize || page[len(page)-1] <= after {
			break
		}
		after = page[len(page)-1]
	}
	if !r.troubled {
		r.recovered(ctx)
	}
	r.record.last.Store(&lastPass{held: held, ended: time.Now()})
	r.record.passes.Add(1)
	return true
}

// organization deletes the due incidents of an organization. It ends early if the lease is lost, ctx
// ends, or the store fails too often.
func (r *retainer) organization(ctx context.Context, org OrganizationID, p *pace, held *int) {
	keep := r.keepFor(ctx, org)
	q := PurgeQuery{OrganizationID: org, ClosedBefore: r.cut(keep)}
	if keep == 0 || q.ClosedBefore.Before(minDate) {
		return
	}
	for {
		var b PurgeBatch
		var took time.Duration
		done := r.try(ctx, func() (err error) {
			q.Limit = p.size
			began := time.Now()
			b, err = r.batch(ctx, q)
			if took = time.Since(began); err != nil {
				p.size = max(p.size/2, 1) // it may have taken too long
			}
			r.record.purged.Add(uint64(len(b.Purged)))
			return err
		})
		if !done {
			return
		}
		*held += b.Held
		if p.rest(ctx, took, len(b.Purged)+b.Held) != nil || b.Next == nil || !r.leased(ctx) {
			return
		}
		q.After = b.Next
	}
}

// batch deletes a batch of incidents. If ctx ends meanwhile, the batch may continue for
// retentionGrace.
func (r *retainer) batch(ctx context.Context, q PurgeQuery) (PurgeBatch, error) {
	if err := ctx.Err(); err != nil {
		return PurgeBatch{}, err
	}
	calling, cancel := context.WithTimeout(context.WithoutCancel(ctx), retentionTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		duration.Pause(calling, retentionGrace)
		cancel()
	})()
	return guarded(func() (PurgeBatch, error) { return r.m.purgeBatch(calling, r.store, q) })
}

// cut returns the time before which incidents must have been closed. A clock of this process that
// runs ahead deletes nothing early, nor does a store's clock.
func (r *retainer) cut(keep time.Duration) time.Time {
	now := canonical(r.m.options.Now())
	if r.now.Before(now) {
		now = canonical(r.now)
	}
	return now.Add(-keep)
}

// keepFor returns how long the incidents of an organization are kept, 0 for ever. It logs an
// invalid answer of KeepFor once.
func (r *retainer) keepFor(ctx context.Context, org OrganizationID) time.Duration {
	o := &r.m.options.Retention
	if o.KeepFor == nil {
		return o.Keep
	}
	keep := o.KeepFor(org)
	if keep == 0 || keep >= MinRetention {
		delete(r.refused, org)
		return keep
	}
	if _, ok := r.refused[org]; !ok {
		r.refused[org] = struct{}{}
		r.m.options.Logger.WarnContext(ctx, "incident: Retention.KeepFor returned too little; the incidents of the organization are kept",
			"organization", string(org), "keep", keep, "least", MinRetention)
	}
	return 0
}

// try calls the store until it succeeds, and at most retentionPatience times. It pauses after each
// failure.
func (r *retainer) try(ctx context.Context, call func() error) (done bool) {
	backoff := firstRetentionBackoff
	for range retentionPatience {
		if ctx.Err() != nil {
			return false
		}
		err := call()
		if err == nil {
			return true
		}
		r.failed(ctx, err)
		duration.Pause(ctx, backoff)
		backoff *= 2
	}
	return false
}

// failed logs the first failure of the store since recovered was called.
func (r *retainer) failed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	if !r.failing {
		r.m.options.Logger.WarnContext(ctx, "incident: deleting by Options.Retention waits for the store, which fails", "error", err)
	}
	r.failing, r.troubled = true, true
}

// recovered logs that the store no longer fails.
func (r *retainer) recovered(ctx context.Context) {
	if r.failing {
		r.m.options.Logger.InfoContext(ctx, "incident: the store is back; deleting by Options.Retention continues")
	}
	r.failing = false
}
