package postgres

import (
	"fmt"
	"testing"

	"github.com/incidentkit/incident"
)

// membersOf returns n creations, each of an organization of its own.
func membersOf(name string, n int) (all []*member) {
	for i := range n {
		m := &member{}
		m.w.Key.OrganizationID = incident.OrganizationID(fmt.Sprint(name, i))
		all = append(all, m)
	}
	return all
}

// After a batch the next waits for 7/8 of its share in all creations: otherwise the callers would
// stay divided into one group more than there are batches, and each batch would be smaller.
func TestStore_nextBatchWaitsForItsShare(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name                   string
		ended, waiting, others int // of the batch that ends, and of the other in progress
		want                   int
	}{
		{"three groups of 16 become two", 6, 5, 5, 7},
		{"as many wait as the batch had", 6, 6, 4, 7},
		{"two groups of 16 stay", 8, 0, 8, 7},
		{"the others are many", 4, 0, 60, 4},
		{"many wait", 64, 90, 64, 64},
		{"few return", 2, 9, 5, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := &Store{database: &database{}}
			l := &s.lanes
			l.begin(membersOf("other-", tt.others), batchLane)
			checkGathering(t, s, l, tt.ended, tt.waiting, tt.want)
		})
	}
}

// checkGathering ends a batch while creations wait, and checks for how many members the next batch waits.
func checkGathering(t *testing.T, s *Store, l *lanes, ended, waiting, want int) {
	t.Helper()
	l.batches = maxBatches // no batch begins
	ending := l.begin(membersOf("ending-", ended), batchLane)
	l.waiting = membersOf("waiting-", waiting)
	l.mu.Lock() // or a timer would end the wait
	defer l.mu.Unlock()
	s.endHeld(ending, nil)
	if l.gather != want {
		t.Errorf("the next batch waits for %d members, want %d", l.gather, want)
	}
}
