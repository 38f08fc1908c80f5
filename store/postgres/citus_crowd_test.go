package postgres

import (
	"testing"
	"testing/synctest"
	"time"
)

// A server of Citus that is crowded has a lane at a time, which takes all that wait, because a call costs much
// and each member little. Otherwise its lanes are those of plain PostgreSQL.
func TestLanes_ofCrowdedServer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name                string
		members, servers    int64
		alone, batches      int  // the open lanes
		wantAlone           bool // a creation may go alone
		wantTarget, of, all int  // the creations that begin a batch, and the members of a batch of so many
	}{
		{"crowded", 16, 2, 0, 0, true, 2, 15, 15},
		{"crowded, beside a lane", 16, 2, 1, 0, false, 8, 15, 15},
		{"crowded, beside a batch", 16, 2, 0, 1, false, 8, 8, 8},
		{"enough for two", 80, 2, 0, 0, true, 2, 40, 20},
		{"a few for each server", 7, 2, 3, 0, true, 4, 7, 4},
		{"a single server", 4, 1, 1, 0, false, 8, 4, 4},
		{"no server yet", 4, 0, 1, 0, false, 8, 4, 4},
		{"plain PostgreSQL", -1, 0, 3, 0, true, 4, 8, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := &lanes{alone: tt.alone, batches: tt.batches}
			if tt.members >= 0 {
				l.crowd = &crowd{}
				l.crowd.servers.Store(tt.servers)
				l.crowd.add(tt.members)
			}
			if got := l.mayGoAlone(); got != tt.wantAlone {
				t.Errorf("a creation may go alone = %t, want %t", got, tt.wantAlone)
			}
			if got := l.target(); got != tt.wantTarget {
				t.Errorf("%d creations begin a batch, want %d", got, tt.wantTarget)
			}
			if got := l.most(tt.of); got != tt.all {
				t.Errorf("a batch takes %d of %d, want %d", got, tt.of, tt.all)
			}
		})
	}
}

// The next lane of a crowded server waits for the server's share, but not for more than may come.
func TestLanes_gatherOfCrowdedServer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name                    string
		members                 int64 // of two servers
		ended, waiting, waitFor int
	}{
		{"a server of two", 16, 6, 4, 7},
		{"few have been here", 60, 5, 1, 6},
		{"many", 400, 64, 60, 64},
		{"few return", 16, 2, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, l := &Store{database: &database{}}, &lanes{crowd: &crowd{}}
			l.crowd.servers.Store(2)
			l.crowd.add(tt.members)
			checkGathering(t, s, l, tt.ended, tt.waiting, tt.waitFor)
		})
	}
}

// A lane of a crowded server does not wait for members of open lanes: it begins when all others have come back, to
// whichever server.
func TestLanes_allCallersAreBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		here, there := &lanes{batches: maxBatches}, &lanes{batches: maxBatches} // no batch begins
		s := &Store{database: &database{citus: &citus{lanes: map[int64]*lanes{1: here, 2: there}}}}
		crowd := &s.citus.crowd
		here.crowd, there.crowd = crowd, crowd
		crowd.servers.Store(2)
		crowd.add(16)

		ended := membersOf("ending-", 6)
		ended[0].woken = make(chan struct{}, 1)
		s.end(here.begin(ended, batchLane), ended[:1]) // one member goes again, and is not answered
		for i, m := range membersOf("next-", 5) {
			if here.gather == 0 {
				t.Fatalf("the lane waits no longer with %d of 5 callers back", i)
			}
			m.lanes = []*lanes{here, there}[i%2]
			if i == 4 {
				m.lanes = there
			}
			s.join(m)
		}
		if here.gather != 0 {
			t.Error("the lane waits for callers although all are back")
		}

		s.end(here.begin(membersOf("gone-", 6), batchLane), nil)
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if here.gather != 0 || crowd.left.Load() != 0 {
			t.Errorf("the lane waits for %d, and for %d callers who do not come back", here.gather, crowd.left.Load())
		}
	})
}
