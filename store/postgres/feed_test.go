package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
	"github.com/incidentkit/incident/store/storetest"
)

func TestStore_feed(t *testing.T) {
	stores := emptyStores(t, kind{conns: 16})
	storetest.RunFeed(t, func(t *testing.T) incident.FeedStore { return stores(t).(*postgres.Store) })
}

func TestStore_feedPartitioned(t *testing.T) {
	stores := emptyStores(t, kind{conns: 16, migrate: migratePartitioned})
	storetest.RunFeed(t, func(t *testing.T) incident.FeedStore { return stores(t).(*postgres.Store) })
}

// The reason for snapshots: a feed that continues from the highest transaction it has seen
// misses transactions that commit late.
func TestStore_feedByHighestTransactionMissesLateCommits(t *testing.T) {
	s, _ := newStore(t)
	ctx := t.Context()
	m := mustManager(t, s)
	key := mustBegin(t, m)
	changes, err := s.Changes(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	var during incident.FeedChanges
	err = s.InTx(ctx, func(tx incident.Store) error {
		late, err := incident.New(tx, nil)
		if err == nil {
			_, err = late.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusClosed})
		}
		if err == nil {
			_, err = m.Create(context.WithoutCancel(ctx), incident.NewIncident{OrganizationID: "umbrella", Title: "Earlier"})
		}
		if err == nil {
			during, err = s.Changes(ctx, changes.Position)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	tells := func(from incident.FeedPosition) bool {
		after, err := s.Changes(ctx, from)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range after.Incidents {
			if v.Key == key {
				return true
			}
		}
		return false
	}
	if !tells(during.Position) {
		t.Error("the feed misses a transaction that committed late")
	}
	highest := string(during.Position[:strings.LastIndex(string(during.Position), ":")+1])
	if tells(incident.FeedPosition(highest)) {
		t.Error("nothing was on its way: the test shows nothing")
	}
}

// process is a Manager with a cache of its own that follows the others. It records the
// versions that its reads must not fall below.
type process struct {
	incident.Manager
	looksOn bool // it only reads, and learns only from the feed
	delays  delays
	floor   [4]atomic.Int64 // the highest version returned, by incident
}

// Managers that share a database, each with a cache, never return a version older than
// they have returned or written, and see the writes of others within a second, and within 50 ms in
// the median. Delays and counts are noisy, since a round is as short as a disturbance of the machine:
// the best of eight rounds counts.
func TestFeed_stress(t *testing.T) {
	var r stressed
	for range 8 {
		if r = stressFeed(t); r.isMeaningful() && r.delay <= 50*time.Millisecond || t.Failed() {
			return
		}
	}
	if !r.isMeaningful() {
		t.Errorf("%d reads were made with %d loads: too few came from a cache to show something", r.reads, r.loads)
	}
	if r.delay > 50*time.Millisecond {
		t.Errorf("in the median a write is seen after %v by other processes, want 50 ms", r.delay)
	}
}

// stressed is the result of a round of TestFeed_stress.
type stressed struct {
	reads, loads int64
	delay        time.Duration // until a write is seen by other processes, in the median
}

// enoughFeedReads is the number of reads for a meaningful result.
const enoughFeedReads = 20_000

func (r stressed) isMeaningful() bool { return r.reads >= enoughFeedReads && r.loads <= r.reads/2 }

func stressFeed(t *testing.T) stressed {
	t.Helper()
	s, _ := newStore(t)
	keys := make([]incident.Key, 4)
	for i := range keys {
		keys[i] = mustBeginAnew(t, mustManager(t, s), fmt.Sprint("rule ", i))
	}
	length := 2 * time.Second
	if long {
		length *= 2
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	committed := newHistory(len(keys))
	var all sync.WaitGroup
	var reads atomic.Int64
	all.Go(func() {
		time.Sleep(length)
		for most := time.Now().Add(10 * length); reads.Load() < enoughFeedReads && time.Now().Before(most); {
			time.Sleep(10 * time.Millisecond)
		}
		cancel()
	})
	var lookingOn *process
	counting := &countingStore{Store: s}
	for n := range 3 {
		m, err := incident.New(counting, nil)
		if err != nil {
			t.Fatal(err)
		}
		p := &process{Manager: m, looksOn: n == 2}
		all.Go(func() { _ = p.Run(ctx) })
		if p.looksOn {
			lookingOn = p
		} else {
			all.Go(func() { p.write(ctx, t, keys, committed) })
		}
		for range 3 {
			all.Go(func() { p.read(ctx, t, keys, committed, &reads) })
		}
	}
	all.Wait()
	r := stressed{reads.Load(), counting.loads.Load(), lookingOn.delays.median()}
	t.Logf("%d reads, %d loads, writes seen after %v in the median", r.reads, r.loads, r.delay)
	return r
}

// delays are the times between the acknowledgement of a write and its first read
// elsewhere.
type delays struct {
	mu  sync.Mutex // guards all
	all []time.Duration
}

func (d *delays) add(delay time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, delay)
}

func (d *delays) median() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.all) == 0 {
		return time.Hour
	}
	slices.Sort(d.all)
	return d.all[len(d.all)/2]
}

// countingStore counts the reads that the cache does not answer.
type countingStore struct {
	*postgres.Store
	loads atomic.Int64
}

func (c *countingStore) Load(ctx context.Context, key incident.Key) (incident.State, error) {
	c.loads.Add(1)
	return c.Store.Load(ctx, key)
}

// history records the versions of each incident with their times.
type history struct {
	mu       sync.Mutex // guards versions
	versions [][]versionAt
}

type versionAt struct {
	version int64
	at      time.Time // the acknowledgement of its write
}

func newHistory(n int) *history { return &history{versions: make([][]versionAt, n)} }

func (h *history) add(i int, version int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.versions[i] = append(h.versions[i], versionAt{version, time.Now()})
}

// age returns the time since a version was acknowledged.
func (h *history) age(i int, version int64) (age time.Duration, known bool) {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, v := range slices.Backward(h.versions[i]) {
		if v.version == version {
			return now.Sub(v.at), true
		}
	}
	return 0, false
}

// before returns the highest version acknowledged before a time.
func (h *history) before(i int, at time.Time) (highest int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for j := len(h.versions[i]) - 1; j >= 0; j-- {
		if v := h.versions[i][j]; v.at.Before(at) {
			highest = max(highest, v.version)
			if v.at.Before(at.Add(-time.Second)) {
				break
			}
		}
	}
	return highest
}

func (p *process) raise(i int, version int64) {
	for {
		floor := p.floor[i].Load()
		if floor >= version || p.floor[i].CompareAndSwap(floor, version) {
			return
		}
	}
}

func (p *process) write(ctx context.Context, t *testing.T, keys []incident.Key, committed *history) {
	statuses := []incident.Status{incident.StatusOpen, incident.StatusWarning, incident.StatusCritical, incident.StatusClosed}
	for ctx.Err() == nil {
		i := rand.IntN(len(keys))
		r, err := p.UpdateStatus(ctx, keys[i], incident.StatusUpdate{Status: statuses[rand.IntN(len(statuses))]})
		if err != nil {
			if ctx.Err() == nil {
				t.Error(err)
			}
			continue
		}
		committed.add(i, r.Version)
		p.raise(i, r.Version)
		time.Sleep(rand.N(20 * time.Millisecond))
	}
}

// read reads until ctx ends, and counts its reads in n.
func (p *process) read(ctx context.Context, t *testing.T, keys []incident.Key, committed *history, n *atomic.Int64) {
	for ctx.Err() == nil {
		i := rand.IntN(len(keys))
		floor, bound := p.floor[i].Load(), committed.before(i, time.Now().Add(-time.Second))
		var inc incident.Incident
		var err error
		if p.looksOn || rand.IntN(20) > 0 {
			inc, err = p.Get(ctx, keys[i])
		} else {
			var d incident.Details
			d, err = p.Details(ctx, keys[i], "")
			inc = d.Incident
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			t.Error(err)
		case inc.Version < floor:
			t.Errorf("version %d of %s was read after version %d by the same process", inc.Version, inc.Key(), floor)
		case inc.Version < bound:
			t.Errorf("version %d of %s was read a second after version %d was written", inc.Version, inc.Key(), bound)
		}
		if age, known := committed.age(i, inc.Version); p.looksOn && inc.Version > p.floor[i].Load() && known {
			p.delays.add(age)
		}
		p.raise(i, inc.Version)
		n.Add(1)
	}
}
