package incident_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
)

// comeBack returns the delays from the commit to the delivery of comments on an incident, in
// ascending order.
func (o *office) comeBack(t *testing.T, key incident.Key, lasting time.Duration) (all []time.Duration) {
	t.Helper()
	hasCome := func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		n := len(o.got)
		o.got = slices.DeleteFunc(o.got, func(n incident.Notification) bool { return n.Incident.Key() == key })
		return len(o.got) < n
	}
	for start := time.Now(); time.Since(start) < lasting; time.Sleep(700 * time.Millisecond) {
		written := time.Now()
		o.mustComment(t, key)
		for !hasCome() {
			time.Sleep(time.Millisecond)
		}
		all = append(all, time.Since(written))
	}
	slices.Sort(all)
	return all
}

func mean(all []time.Duration) (d time.Duration) {
	for _, v := range all {
		d += v / time.Duration(len(all))
	}
	return d
}

const untilTimeout = "until its time is over"

// hangs are ways in which a receiver hangs.
var hangs = map[string]func(ctx context.Context) error{
	untilTimeout:           func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	"and goes on after it": func(context.Context) error { time.Sleep(time.Minute); return nil },
	"and succeeds at last": func(context.Context) error { time.Sleep(9 * time.Second); return nil },
}

// Receivers that hang delay no other organization, however many they are.
func TestRelay_isNotDelayedByHangingReceivers(t *testing.T) {
	numbers, concurrencies := []int{2, 5, 15, 30}, []int{1, 2, 16}
	long := os.Getenv("INCIDENT_TEST_LONG") != ""
	if long {
		numbers, concurrencies = []int{1, 2, 5, 15, 100}, []int{1, 2, 4, 16}
	}
	for way, hang := range hangs {
		for _, hanging := range numbers {
			for _, permits := range concurrencies {
				if !long && (hanging == 30 && way != untilTimeout || hanging == 15 && permits < 16) {
					continue
				}
				t.Run(fmt.Sprintf("%d with %d permits %s", hanging, permits, way), func(t *testing.T) {
					inOffice(t, incident.Options{Notify: incident.NotifyOptions{Concurrency: permits}}, func(t *testing.T, o *office) {
						checkHanging(t, o, hanging, permits, hang)
					})
				})
			}
		}
	}
}

func checkHanging(t *testing.T, o *office, hanging, permits int, hang func(ctx context.Context) error) {
	const own = 5 * time.Millisecond
	o.fails(func(ctx context.Context, n incident.Notification) error {
		if n.Incident.OrganizationID != "third" {
			return hang(ctx)
		}
		time.Sleep(own)
		return nil
	})
	key := o.mustCreate(t, "third")
	time.Sleep(time.Second)
	// Enough to hang for hours.
	for i := range hanging {
		for range 40 {
			o.mustCreate(t, incident.OrganizationID(fmt.Sprint("hanging-", i)))
		}
	}
	synctest.Wait()
	if hanging < permits {
		if all := o.comeBack(t, key, time.Minute); all[len(all)-1] > 4*own {
			t.Errorf("at first the notifications of a third come after up to %v, in the mean %v", all[len(all)-1], mean(all))
		}
	}
	// Each must hang once before the relay knows it.
	time.Sleep(time.Duration(hanging/permits+1) * 30 * time.Second)
	all := o.comeBack(t, key, 2*time.Minute)
	o.stop()
	time.Sleep(2 * time.Minute) // until all abandoned calls have ended
	if permits == 1 {
		if all[len(all)/2] > 4*own || mean(all) > time.Second {
			t.Errorf("the notifications of a third come after %v at the median, %v in the mean", all[len(all)/2], mean(all))
		}
	} else if last := all[len(all)-1]; last > 4*own {
		t.Errorf("the notifications of a third come after up to %v, in the mean %v", last, mean(all))
	}
}

// An organization gets its permits back when its receiver answers again.
func TestRelay_restoresPermits(t *testing.T) {
	inOffice(t, incident.Options{Notify: incident.NotifyOptions{Concurrency: 8}}, func(t *testing.T, o *office) {
		o.mustCreate(t, "third")
		synctest.Wait()
		o.fails(func(ctx context.Context, _ incident.Notification) error { <-ctx.Done(); return ctx.Err() })
		for range 200 {
			o.mustCreate(t, "acme")
		}
		time.Sleep(25 * time.Second)
		o.take()
		var attempts gauge
		o.fails(func(context.Context, incident.Notification) error {
			attempts.hold(100 * time.Millisecond)
			return nil
		})
		time.Sleep(30 * time.Second)
		if got := attempts.highest(); got != 6 {
			t.Errorf("it takes %d of 8 permits, want 6", got)
		}
		if got := len(o.take()); got != 400 {
			t.Errorf("%d of its notifications came, want 400", got)
		}
	})
}
