package managertest

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
)

// watchFault is a Manager that tells its watchers wrongly.
type watchFault struct {
	incident.Manager
	watch func(ctx context.Context, org incident.OrganizationID, fn func(incident.Changes) error) error
	inTx  func(ctx context.Context, fn func(tx incident.Manager) error) error
}

func (f *watchFault) Watch(ctx context.Context, org incident.OrganizationID, fn func(incident.Changes) error) error {
	if f.watch == nil {
		return f.Manager.Watch(ctx, org, fn)
	}
	return f.watch(ctx, org, fn)
}

func (f *watchFault) InTx(ctx context.Context, fn func(tx incident.Manager) error) error {
	if f.inTx == nil {
		return f.Manager.InTx(ctx, fn)
	}
	return f.inTx(ctx, fn)
}

// alters has each watcher told what a function of its own makes of the changes; false for nothing.
func alters(alter func() func(c *incident.Changes) bool) func(m incident.Manager) incident.Manager {
	return func(m incident.Manager) incident.Manager {
		return &watchFault{Manager: m, watch: func(ctx context.Context, org incident.OrganizationID, fn func(incident.Changes) error) error {
			f := alter()
			return m.Watch(ctx, org, func(c incident.Changes) error {
				if !f(&c) {
					return nil
				}
				return fn(c)
			})
		}}
	}
}

// keeps keeps the incidents for which a function of the numbers told last returns true.
func keeps(keep func(before, now incident.IncidentVersion) bool) func(m incident.Manager) incident.Manager {
	return alters(func() func(c *incident.Changes) bool {
		told := map[incident.Key]incident.IncidentVersion{}
		return func(c *incident.Changes) bool {
			var kept []incident.IncidentVersion
			for _, v := range c.Incidents {
				if keep(told[v.Key], v) {
					kept = append(kept, v)
				}
				told[v.Key] = v
			}
			c.Incidents = kept
			return c.Resync || len(kept) > 0
		}
	})
}

// tellsInTx tells all watchers of a key when a transaction comments on it.
func tellsInTx(m incident.Manager) incident.Manager {
	var mu sync.Mutex // guards watchers
	watchers := map[int]func(incident.Changes) error{}
	n := 0
	return &watchFault{
		Manager: m,
		watch: func(ctx context.Context, org incident.OrganizationID, fn func(incident.Changes) error) error {
			mu.Lock()
			n++
			me := n
			if org == watched {
				watchers[me] = fn
			}
			mu.Unlock()
			defer func() {
				mu.Lock()
				defer mu.Unlock()
				delete(watchers, me)
			}()
			return m.Watch(ctx, org, fn)
		},
		inTx: func(ctx context.Context, fn func(tx incident.Manager) error) error {
			return m.InTx(ctx, func(tx incident.Manager) error {
				return fn(&commentFault{tx, func(a incident.Activity) {
					if a.Incident.OrganizationID != watched {
						return
					}
					mu.Lock()
					defer mu.Unlock()
					for _, tell := range watchers {
						go tell(incident.Changes{Incidents: []incident.IncidentVersion{{Key: a.Incident, Version: 1, Activities: a.Sequence}}})
					}
				}})
			})
		},
	}
}

// commentFault calls commented after a comment.
type commentFault struct {
	incident.Manager
	commented func(a incident.Activity)
}

func (f *commentFault) Comment(ctx context.Context, key incident.Key, n incident.NewComment) (incident.Activity, error) {
	a, err := f.Manager.Comment(ctx, key, n)
	if err == nil {
		f.commented(a)
	}
	return a, err
}

// tellsOthers tells the watchers of an organization what happens in another.
func tellsOthers(m incident.Manager) incident.Manager {
	return &watchFault{Manager: m, watch: func(ctx context.Context, org incident.OrganizationID, fn func(incident.Changes) error) error {
		ctx, cancel := context.WithCancel(ctx)
		running := make(chan struct{}, 1) // has a token while fn runs
		alone := func(c incident.Changes) error {
			running <- struct{}{}
			defer func() { <-running }()
			return fn(c)
		}
		var other sync.WaitGroup
		defer other.Wait()
		defer cancel()
		if org == watchedToo {
			other.Go(func() {
				_ = m.Watch(ctx, watched, alone)
			})
		}
		return m.Watch(ctx, org, alone)
	}}
}

// The check waits in a bubble, so that a busy machine does not end its patience.
func TestWatching_rejectsFaults(t *testing.T) {
	var watchers atomic.Int64
	for name, fault := range map[string]struct {
		plant func(m incident.Manager) incident.Manager
		want  string
		alone bool // only single writes are made
	}{
		"comments are not told": {keeps(func(before, now incident.IncidentVersion) bool { return now.Version != before.Version }), "Comment: observer 0", true},
		"revised comments are not told": {
			keeps(func(before, now incident.IncidentVersion) bool { return now != before }), "EditComment: observer 0", true,
		},
		"versions are not told": {
			keeps(func(before, now incident.IncidentVersion) bool { return now.Version == before.Version }), "knows", false,
		},
		"the first numbers are told": {alters(func() func(c *incident.Changes) bool {
			return func(c *incident.Changes) bool {
				for i := range c.Incidents {
					c.Incidents[i].Activities--
				}
				return true
			}
		}), "knows", false},
		"the numbers of an uncommitted write are told": {alters(func() func(c *incident.Changes) bool {
			return func(c *incident.Changes) bool {
				for i := range c.Incidents {
					c.Incidents[i].Version++
				}
				return true
			}
		}), "and then read", false},
		"told before the commit":     {tellsInTx, "observer received", true},
		"told of other organization": {tellsOthers, "received watched#", false},
		"lost beyond the limit without a resync": {alters(func() func(c *incident.Changes) bool {
			first := true
			return func(c *incident.Changes) bool {
				defer func() { first = false }()
				return first || !c.Resync
			}
		}), "knows", false},
		"no resync at the beginning": {alters(func() func(c *incident.Changes) bool {
			return func(c *incident.Changes) bool { return !c.Resync }
		}), "at the beginning", false},
		"a resync lists incidents": {alters(func() func(c *incident.Changes) bool {
			return func(c *incident.Changes) bool {
				if c.Resync {
					c.Incidents = []incident.IncidentVersion{{Key: incident.Key{OrganizationID: watched, Identifier: 1}}}
				}
				return true
			}
		}), "a resync lists", false},
		"incidents are out of order": {alters(func() func(c *incident.Changes) bool {
			return func(c *incident.Changes) bool {
				c.Incidents = append(c.Incidents, c.Incidents...)
				return true
			}
		}), "is listed after", false},
		"one observer is forgotten": {alters(func() func(c *incident.Changes) bool {
			forgotten := watchers.Add(1) == 3
			return func(c *incident.Changes) bool { return c.Resync || !forgotten }
		}), "knows", false},
		"Watch ends": {func(m incident.Manager) incident.Manager {
			return &watchFault{Manager: m, watch: func(context.Context, incident.OrganizationID, func(incident.Changes) error) error {
				return incident.ErrUnavailable
			}}
		}, "Watch() =", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWatching(t, fault.plant)
				w.Within, w.Writes = 500*time.Millisecond, 100
				if fault.alone {
					w.Writes = 0
				}
				if err := w.Check(t.Context()); err == nil || !strings.Contains(err.Error(), fault.want) {
					t.Errorf("Check() = %v, want an error with %q", err, fault.want)
				}
			})
		})
	}
}
