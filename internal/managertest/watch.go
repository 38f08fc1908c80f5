package managertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident"
)

// Watching checks [incident.Manager.Watch] with observers in two organizations:
//
//  1. Concurrent writes. Afterwards, every observer must know the stored numbers of each
//     incident of its organization, however slow it is.
//  2. Single writes of each kind. All observers of the organization must receive it, and no other.
//     A transaction in progress, or undone, must not be reported.
//  3. More changes than Watch remembers, while an observer is busy.
//
// Two observers also read the reported incidents: the read must not be older than the report.
type Watching struct {
	// Writer makes the writes, and Watcher watches. They may be the same Manager, or those of
	// two processes.
	Writer, Watcher incident.Manager

	// Observers is the number of calls of Watch for each organization.
	Observers int

	// Writes is the number of concurrent writes.
	Writes int

	// Many is the number of incidents of step 3. 0 leaves it out.
	Many int

	// Within is how long the report of a change may take.
	Within time.Duration

	// Delays, if not nil, receives the times from the end of each single write until all
	// observers have received it.
	Delays *[]time.Duration
}

// The organizations of the observers.
const watched, watchedToo = incident.OrganizationID("watched"), incident.OrganizationID("watched too")

// Check returns the first deviation.
func (w Watching) Check(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for range 4 {
		for _, org := range []incident.OrganizationID{watched, watchedToo} {
			if _, err := w.Writer.Create(ctx, incident.NewIncident{OrganizationID: org, Title: "Watched"}); err != nil {
				return err
			}
		}
	}
	all := &observers{}
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	for i := range 2 * w.Observers {
		o := &observer{m: w.Watcher, org: watched, reads: i < 2, slow: i%4 >= 2, busy: make(chan struct{}, 1)}
		if i%2 == 1 {
			o.org = watchedToo
		}
		all.list = append(all.list, o)
		watching.Go(func() { o.watch(ctx) })
	}
	steps := []func(context.Context, *observers) error{w.concurrently, w.singly}
	if w.Many > 0 {
		steps = append(steps, w.many)
	}
	for _, step := range steps {
		if err := step(ctx, all); err != nil {
			return err
		}
		if err := all.failure(); err != nil {
			return err
		}
	}
	return nil
}

// concurrently makes random writes, and waits until the observers know them.
func (w Watching) concurrently(ctx context.Context, all *observers) error {
	if err := w.await(func() error { return all.begun() }); err != nil {
		return err
	}
	var writing sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(w.Writes))
	failures := make(chan error, 4)
	for range cap(failures) {
		writing.Go(func() {
			for left.Add(-1) >= 0 {
				if err := w.write(ctx); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	writing.Wait()
	select {
	case err := <-failures:
		return err
	default:
	}
	return w.await(func() error { return all.agree(ctx, w.Writer) })
}

// write makes a random write, by either Manager.
func (w Watching) write(ctx context.Context) (err error) {
	m := []incident.Manager{w.Writer, w.Watcher}[rand.IntN(2)]
	key := incident.Key{OrganizationID: []incident.OrganizationID{watched, watchedToo}[rand.IntN(2)], Identifier: 1 + rand.Int64N(4)}
	switch rand.IntN(6) {
	case 0:
		_, err = m.Create(ctx, incident.NewIncident{OrganizationID: key.OrganizationID, Title: "Another"})
	case 1, 2:
		_, err = m.Comment(ctx, key, incident.NewComment{UserID: "ada", Comment: "Looking into it"})
	case 3:
		err = m.InTx(ctx, func(tx incident.Manager) error { return changeTwice(ctx, tx, key, nil) })
	case 4:
		err = m.InTx(ctx, func(tx incident.Manager) error { return changeTwice(ctx, tx, key, errUndone) })
		if errors.Is(err, errUndone) {
			err = nil
		}
	default:
		_, err = m.UpdateStatus(ctx, key, incident.StatusUpdate{Status: randomStatus()})
	}
	if errors.Is(err, incident.ErrUnavailable) {
		err = nil // too many conflicts
	}
	return err
}

var errUndone = errors.New("undone")

func randomStatus() incident.Status {
	return []incident.Status{incident.StatusOpen, incident.StatusWarning, incident.StatusCritical, incident.StatusClosed}[rand.IntN(4)]
}

func changeTwice(ctx context.Context, tx incident.Manager, key incident.Key, outcome error) error {
	if _, err := tx.UpdateStatus(ctx, key, incident.StatusUpdate{Status: randomStatus()}); err != nil {
		return err
	}
	if _, err := tx.Comment(ctx, key, incident.NewComment{UserID: "ada", Comment: "In a transaction"}); err != nil {
		return err
	}
	return outcome
}

// pauseUnreported is how long the check waits for a wrong report.
const pauseUnreported = 100 * time.Millisecond

// singly makes a write of each kind, and checks which observers receive it.
func (w Watching) singly(ctx context.Context, all *observers) error {
	if err := w.await(all.quiet); err != nil {
		return err
	}
	key := incident.Key{OrganizationID: watched, Identifier: 1}
	for _, write := range append(w.statesAndComments(ctx, key), w.transactions(ctx, all, key)...) {
		err := w.single(ctx, all, write.unreported, write.write)
		for attempt := 1; errors.Is(err, errDisturbed) && attempt < attemptsUndisturbed; attempt++ {
			err = w.single(ctx, all, write.unreported, write.write)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", write.name, err)
		}
	}
	return nil
}

// errDisturbed is returned for a report that no observer must receive. On a busy machine it may be a
// late repetition of an earlier report, or a resync because the store did not answer in time.
var errDisturbed = errors.New("nothing was to be received")

// attemptsUndisturbed is how often such a report must come to be a failure.
const attemptsUndisturbed = 5

// singleWrite is a write that is made while nothing else happens.
type singleWrite struct {
	name       string
	unreported bool         // no observer must receive it
	write      func() error // changes something each time
}

func (w Watching) statesAndComments(ctx context.Context, key incident.Key) []singleWrite {
	var comment incident.Activity
	add := func() (err error) {
		comment, err = w.Writer.Comment(ctx, key, incident.NewComment{UserID: "ada", Comment: "Found it"})
		return err
	}
	return []singleWrite{
		{"Create", false, func() error {
			_, err := w.Writer.Create(ctx, incident.NewIncident{OrganizationID: watched, Title: "Another"})
			return err
		}},
		{"Comment", false, add},
		{"EditComment", false, func() error {
			text := fmt.Sprint("Found ", rand.Int64())
			_, err := w.Writer.EditComment(ctx, key, incident.CommentEdit{Sequence: comment.Sequence, UserID: "ada", Comment: text})
			return err
		}},
		{"DeleteComment", false, func() error {
			if comment.Sequence == 0 {
				if err := add(); err != nil {
					return err
				}
			}
			_, err := w.Writer.DeleteComment(ctx, key, incident.CommentEdit{Sequence: comment.Sequence, UserID: "ada"})
			comment = incident.Activity{}
			return err
		}},
		{"Fire", false, func() error {
			slot := incident.Slot{OrganizationID: watched, AlertRuleID: incident.AlertRuleID(fmt.Sprint(rand.Int64())), ProjectID: "api"}
			_, err := w.Writer.Fire(ctx, incident.Firing{Slot: slot, TriggerID: "5%", Severity: incident.StatusWarning, Title: "Errors"})
			return err
		}},
		{"MarkSeen", true, func() error {
			_, err := w.Writer.MarkSeen(ctx, key, "ada")
			return err
		}},
	}
}

func (w Watching) transactions(ctx context.Context, all *observers, key incident.Key) []singleWrite {
	return []singleWrite{
		{"an undone transaction", true, func() error {
			err := w.Writer.InTx(ctx, func(tx incident.Manager) error { return changeTwice(ctx, tx, key, errUndone) })
			if errors.Is(err, errUndone) {
				return nil
			}
			return err
		}},
		{"a transaction", false, func() error {
			if err := w.await(all.quiet); err != nil {
				return err
			}
			return w.Writer.InTx(ctx, func(tx incident.Manager) error {
				if _, err := tx.Comment(ctx, key, incident.NewComment{UserID: "ada", Comment: "Not yet"}); err != nil {
					return err
				}
				before := all.calls(watched)
				time.Sleep(pauseUnreported)
				if all.calls(watched) != before {
					return fmt.Errorf("an observer received a comment before its commit: %w", errDisturbed)
				}
				return nil
			})
		}},
	}
}

// single makes a write while nothing else happens.
func (w Watching) single(ctx context.Context, all *observers, unreported bool, write func() error) error {
	if unreported { // a change may be reported twice
		if err := w.await(all.quiet); err != nil {
			return err
		}
	}
	before, foreign := all.callsOfEach(watched), all.calls(watchedToo)
	if err := write(); err != nil {
		return err
	}
	written := time.Now()
	if unreported {
		time.Sleep(pauseUnreported)
		if !slices.Equal(all.callsOfEach(watched), before) {
			return fmt.Errorf("an observer received it: %w", errDisturbed)
		}
	} else if err := w.await(func() error { return all.receivedSince(before) }); err != nil {
		return err
	}
	if w.Delays != nil && !unreported {
		*w.Delays = append(*w.Delays, time.Since(written))
	}
	time.Sleep(pauseUnreported / 10)
	if all.calls(watchedToo) != foreign {
		return fmt.Errorf("an observer of %q received it: %w", watchedToo, errDisturbed)
	}
	return w.await(func() error { return all.agree(ctx, w.Writer) })
}

// many changes more incidents than Watch remembers while an observer is busy.
func (w Watching) many(ctx context.Context, all *observers) error {
	busy := all.list[0]
	busy.busy <- struct{}{}
	if err := w.keep(ctx, busy); err != nil {
		<-busy.busy
		return err
	}
	err := w.Writer.InTx(ctx, func(tx incident.Manager) error {
		for range w.Many {
			if _, err := tx.Create(ctx, incident.NewIncident{OrganizationID: busy.org, Title: "One of many"}); err != nil {
				return err
			}
		}
		return nil
	})
	time.Sleep(pauseUnreported)
	<-busy.busy
	if err != nil {
		return err
	}
	return w.await(func() error { return all.agree(ctx, w.Writer) })
}

// keep writes a comment, and waits until the observer is called with it. While the observer is
// busy, that call keeps further changes from it.
func (w Watching) keep(ctx context.Context, busy *observer) error {
	key := incident.Key{OrganizationID: busy.org, Identifier: 1}
	if _, err := w.Writer.Comment(ctx, key, incident.NewComment{UserID: "ada", Comment: "Wait for it"}); err != nil {
		return err
	}
	return w.await(func() error {
		if !busy.called.Load() {
			return errors.New("the busy observer is not called")
		}
		return nil
	})
}

// await calls check until it returns nil or the time is over.
func (w Watching) await(check func() error) (err error) {
	pause := time.Millisecond
	for begun := time.Now(); ; time.Sleep(pause) {
		asked := time.Now()
		if err = check(); err == nil || time.Since(begun) > w.Within {
			return err
		}
		pause = max(time.Millisecond, 10*time.Since(asked)) // reading everything often would slow down the observers
	}
}
