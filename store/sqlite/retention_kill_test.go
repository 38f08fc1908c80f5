//go:build unix

package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/sqlite"
)

func init() {
	tasks["deletions"] = func(ctx context.Context, t task) error {
		s, err := sqlite.Open(context.WithoutCancel(ctx), t.Path, &t.Options)
		if err != nil {
			return err
		}
		fmt.Println("opened")
		name := []string{"erase", "purge", "delete"}[t.Number]
		if err := deletions[name](ctx, s); err != nil {
			return err
		}
		fmt.Println("done")
		return s.Close()
	}
}

// Processes are killed during an erasure, a purge and a deletion, while another one writes. No
// incident is half deleted or half erased. The next process continues, and the last finishes.
func TestProcesses_killedRetention(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := mustOpen(t, path, nil)
	fill(t, s, "acme", 2)
	n := 3000
	if long {
		n = 60_000
	}
	multiply(t, path, n)
	// The feed lists a bounded number of changes, also of a round that takes long on a busy machine.
	steady := startChild(t, task{Name: "write", Path: path, Pause: 10 * time.Millisecond})
	lines := []string{steady.next()}
	feed := deletionsReported{numbers: map[int64]bool{}}
	for number, name := range []string{"erase", "purge", "delete"} {
		killed := 0
		// A busy machine may kill all processes after their end, or before they have purged anything.
		isSeen := func() bool { return killed > 0 && (name != "purge" || purged(t, path) > 0) }
		// The last process of the task before has made more changes than the feed lists.
		feed.position = changesSince(t, s, "").Position
		for round := 0; round < rounds() || round < 10*rounds() && !isSeen(); round++ {
			if name == "delete" {
				multiplyAgain(t, s, path)
			}
			victim := startChild(t, task{Name: "deletions", Path: path, Number: number})
			if line := victim.next(); line != "opened" {
				t.Fatalf("a process printed %q, want opened", line)
			}
			time.Sleep(rand.N(25 * time.Millisecond << (round / rounds())))
			if !slices.Contains(victim.kill(), "done") {
				killed++
			}
			checkLists(t, path)
			checkErased(t, path)
			if name != "delete" { // which resets the feed
				feed.read(t, s)
			}
		}
		t.Logf("%s: %d processes were killed before the end", name, killed)
		if killed == 0 {
			t.Errorf("%s: no process was killed before its end", name)
		}
		if name == "purge" {
			feed.check(t, s, path)
		}
		victim := startChild(t, task{Name: "deletions", Path: path, Number: number})
		if rest := victim.stopWhenDone(t); !slices.Contains(rest, "done") {
			t.Errorf("%s: the last process printed %q, want done", name, rest)
		}
	}
	if found := tracesOf(t, path, "acme"); !slices.Equal(found, []string{"incident_organization.organization_id"}) {
		t.Errorf("the organization is in %v, want only its counter", found)
	}
	checkAcknowledged(t, s, append(lines, steady.stop(t)...))
	auditBystander(t, s, path)
}

// purged returns the number of incidents that were purged.
func purged(t *testing.T, path string) int {
	return count(t, path, `SELECT incidents - (SELECT count(*) FROM incident WHERE organization_id = 'acme')
		FROM incident_organization WHERE organization_id = 'acme'`)
}

// stopWhenDone waits until the task has ended by itself, and returns the lines.
func (c *child) stopWhenDone(t *testing.T) (all []string) {
	t.Helper()
	for line := c.next(); line != ""; line = c.next() {
		all = append(all, line)
	}
	return append(all, c.stop(t)...)
}

// multiplyAgain makes incidents of an organization that may have been deleted.
func multiplyAgain(t *testing.T, s *sqlite.Store, path string) {
	t.Helper()
	if orgs, err := s.Organizations(t.Context(), "", 1); err != nil || len(orgs) > 0 && orgs[0] == "acme" {
		return
	}
	fill(t, s, "acme", 300)
}

// deletionsReported are the incidents of an organization that the feed has reported. It is read
// within [incident.FeedMemory], after which it forgets deletions.
type deletionsReported struct {
	position incident.FeedPosition
	numbers  map[int64]bool
}

func (r *deletionsReported) read(t *testing.T, s *sqlite.Store) {
	t.Helper()
	c := changesSince(t, s, r.position)
	r.position = c.Position
	for _, iv := range c.Incidents {
		if iv.Key.OrganizationID == "acme" {
			r.numbers[iv.Key.Identifier] = true
		}
	}
}

// check fails unless the feed has reported each incident that is gone.
func (r *deletionsReported) check(t *testing.T, s *sqlite.Store, path string) {
	t.Helper()
	gone := 0
	for n := range int64(count(t, path, "SELECT incidents FROM incident_organization WHERE organization_id = 'acme'")) {
		if _, err := load(s, n+1); !errors.Is(err, incident.ErrNotFound) {
			continue
		}
		if gone++; !r.numbers[n+1] {
			t.Errorf("incident %d is gone, and the feed does not report it", n+1)
			return
		}
	}
	if gone == 0 {
		t.Error("nothing was purged")
	}
}
