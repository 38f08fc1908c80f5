package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/incidentkit/incident"
)

// tally counts received notifications. It is safe for concurrent use.
type tally struct {
	mu   sync.Mutex // guards the fields below
	n    counts
	last map[incident.Key]int64 // the highest sequence of each incident
}

// counts are the numbers of a [tally].
type counts struct {
	notifications int // handled
	incidents     int // with a notification
	repetitions   int // received again and not handled
	outOfOrder    int // handled after a later activity of the same incident
}

func newTally() *tally { return &tally{last: map[incident.Key]int64{}} }

// add handles a notification.
func (t *tally) add(_ context.Context, n incident.Notification) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := n.Incident.Key()
	t.n.notifications++
	if n.Activity.Sequence <= t.last[key] {
		t.n.outOfOrder++
	}
	t.last[key] = max(t.last[key], n.Activity.Sequence)
	t.n.incidents = len(t.last)
	return nil
}

func (t *tally) repeat() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n.repetitions++
}

func (t *tally) counts() counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}

// report is the printed summary of a delivery.
type report struct {
	sent   int
	took   time.Duration
	got    counts
	stats  incident.NotificationStats
	parked []incident.ParkedNotification
}

func (r report) write(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "\nActivities\t%d\n", r.sent)
	fmt.Fprintf(table, "Attempts\t%d, %d of them failed\n", r.stats.Delivered+r.stats.Failed, r.stats.Failed)
	fmt.Fprintf(table, "Notifications\t%d received, of %d incidents\n", r.got.notifications, r.got.incidents)
	fmt.Fprintf(table, "Repetitions\t%d, not acted on\n", r.got.repetitions)
	fmt.Fprintf(table, "Out of order\t%d\n", r.got.outOfOrder)
	fmt.Fprintf(table, "Parked\t%d\n", len(r.parked))
	fmt.Fprintf(table, "Time\t%v\n", r.took.Round(time.Millisecond))
	for _, p := range r.parked {
		fmt.Fprintf(table, "\n%v, activity %d, after %d attempts: %.200q\n", p.Incident, p.Sequence, p.Attempts, p.Error)
	}
	return table.Flush()
}
