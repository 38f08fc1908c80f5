package storetest

import (
	"context"
	"fmt"
	"sync"

	"github.com/incidentkit/incident"
)

// journal is a feed of the commits made through it. A position is a number of commits.
type journal struct {
	incident.Store

	mu      sync.Mutex // guards commits; held from before a commit until it is reported
	commits []*written

	// A broken journal replaces these functions. They are called with mu held.
	wrote  func(w *written)                            // after each change
	nested func(w *written, before written, err error) // after a transaction within
	ended  func(w *written, committed bool)            // after the transaction
}

// written is the writes of one transaction.
type written struct {
	incidents []incident.IncidentVersion
	slots     []incident.SlotVersion
	number    int // of the transaction, for a journal that numbers them
}

func newJournal(s incident.Store) *journal {
	j := &journal{Store: s}
	j.wrote = func(*written) {}
	j.nested = func(w *written, before written, err error) {
		if err != nil {
			*w = before
		}
	}
	j.ended = func(w *written, committed bool) {
		if committed {
			j.commits = append(j.commits, w)
		}
	}
	return j
}

func (j *journal) Apply(ctx context.Context, c incident.Change) (applied incident.Applied, err error) {
	err = j.InTx(ctx, func(tx incident.Store) error {
		applied, err = tx.Apply(ctx, c)
		return err
	})
	return applied, err
}

func (j *journal) ReviseActivity(ctx context.Context, a incident.Activity) error {
	return j.InTx(ctx, func(tx incident.Store) error { return tx.ReviseActivity(ctx, a) })
}

func (j *journal) InTx(ctx context.Context, fn func(tx incident.Store) error) (err error) {
	w, committing, committed := &written{}, false, false
	defer func() {
		if !committing {
			j.mu.Lock()
		}
		defer j.mu.Unlock()
		j.ended(w, committed)
	}()
	err = j.Store.InTx(ctx, func(tx incident.Store) error {
		if err := fn(j.recording(tx, w)); err != nil {
			return err
		}
		j.mu.Lock()
		committing = true
		return nil
	})
	committed = err == nil
	return err
}

// recording gives fn a transaction that reports its notifications to add.
func (j *journal) recording(tx incident.Store, w *written) incident.Store {
	return &broken{
		Store: tx,
		apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
			applied, err := tx.Apply(ctx, c)
			if err == nil && !applied.Replayed {
				j.mu.Lock()
				defer j.mu.Unlock()
				key := c.Key
				if c.Incident != nil {
					key = applied.Incident.Key()
				}
				w.add(progressOf(ctx, tx, key), applied.Slots...)
				j.wrote(w)
			}
			return applied, err
		},
		revise: func(ctx context.Context, a incident.Activity) error {
			err := tx.ReviseActivity(ctx, a)
			if err == nil {
				j.mu.Lock()
				defer j.mu.Unlock()
				w.add(progressOf(ctx, tx, a.Incident))
				j.wrote(w)
			}
			return err
		},
		inTx: func(ctx context.Context, fn func(tx incident.Store) error) error {
			before := *w
			err := tx.InTx(ctx, func(inner incident.Store) error { return fn(j.recording(inner, w)) })
			j.mu.Lock()
			defer j.mu.Unlock()
			j.nested(w, before, err)
			return err
		},
	}
}

func (w *written) add(v incident.IncidentVersion, slots ...incident.SlotVersion) {
	w.incidents = append(w.incidents, v)
	w.slots = append(w.slots, slots...)
}

// progressOf returns the numbers of an incident within a transaction that has written it.
func progressOf(ctx context.Context, tx incident.Store, key incident.Key) incident.IncidentVersion {
	v := incident.IncidentVersion{Key: key}
	log, err := tx.Activities(ctx, key, incident.ActivityQuery{Descending: true, Limit: 1})
	if err == nil && len(log.Activities) > 0 {
		v.Version, v.Activities = log.Version, log.Activities[0].Sequence
	}
	return v
}

// Changes implements [incident.FeedStore].
func (j *journal) Changes(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
	if err := ctx.Err(); err != nil {
		return incident.FeedChanges{}, err
	}
	from, err := commitsBefore(ctx, since)
	j.mu.Lock()
	defer j.mu.Unlock()
	changes := incident.FeedChanges{Position: afterCommits(len(j.commits))}
	if err != nil || from > len(j.commits) {
		changes.Reset = true
	} else if since != "" {
		report(&changes, j.commits[from:])
	}
	return changes, nil
}

func report(changes *incident.FeedChanges, commits []*written) {
	for _, w := range commits {
		changes.Incidents = append(changes.Incidents, w.incidents...)
		changes.Slots = append(changes.Slots, w.slots...)
	}
}

func afterCommits(n int) incident.FeedPosition {
	return incident.FeedPosition(fmt.Sprintf("after %d", n))
}

// commitsBefore returns 0 for the empty position.
func commitsBefore(ctx context.Context, since incident.FeedPosition) (n int, err error) {
	if since != "" {
		if _, err := fmt.Sscanf(string(since), "after %d", &n); err != nil || since != afterCommits(n) {
			return 0, fmt.Errorf("%w: position %q", incident.ErrInvalid, since)
		}
	}
	return n, ctx.Err()
}
