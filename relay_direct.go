package incident

import (
	"slices"
	"time"

	"github.com/incidentkit/incident/internal/duration"
	"github.com/incidentkit/incident/internal/relay"
)

// directDelivery is the delivery of the activities of a new incident to a notifier, without a
// claim: the write that queues them also claims them. See package relay.
type directDelivery struct {
	relay *outboxRelay
	index int // of the notifier in Change.Notify
	place *relay.Place[delivery, attempted]
}

type directDeliveries []directDelivery

// reserve reserves places for the queues of a change, and sets its Leases. Only the queues of a
// new incident have places: other queues may hold older activities, and a host's transaction
// commits at a time of its own.
func (rs *relays) reserve(m *manager, c *Change) (all directDeliveries) {
	if m.tx != nil || c.Key.Identifier != 0 {
		return nil
	}
	for i := range c.Notify {
		target := &c.Notify[i]
		r := rs.named(target.Notifier)
		place := r.Reserve(relay.Tenant(c.Key.OrganizationID), wantedOf(target, c.Activities))
		if place == nil {
			continue
		}
		if c.Leases == nil {
			c.Leases = make([]time.Duration, len(c.Notify))
		}
		c.Leases[i] = r.directLease()
		all = append(all, directDelivery{r, i, place})
	}
	return all
}

// wantedOf returns the number of activities that a notifier wants.
func wantedOf(t *NotifyTarget, all []Activity) (n int) {
	for i := range all {
		if t.Wants(all[i].Type) {
			n++
		}
	}
	return n
}

// directLease is the lease of the queue of a new incident: its last attempt begins within
// [relay.StartWithin].
func (r *outboxRelay) directLease() time.Duration {
	return duration.Add(r.notify.Timeout, relay.StartWithin+leaseMargin)
}

// cancel gives back the places of what is not delivered.
func (all directDeliveries) cancel() {
	for i := range all {
		all[i].place.Cancel()
	}
}

// written begins the deliveries after the write, unless it failed, and returns the relays that need
// not look for its queues. After a write with an unknown outcome, the relays look again when
// the leases end.
func (all directDeliveries) written(c *Change, applied *Applied, err error) (delivered relaySet) {
	for i := range all {
		d := &all[i]
		switch {
		case err != nil: // perhaps written
			d.relay.WakeIn(c.Leases[d.index])
		case applied.Fence != 0:
			d.place.Deliver(d.claim(c, applied))
			delivered |= d.relay.manager.relays.set(d.relay.target.Notifier)
		}
	}
	return delivered
}

// claim returns the claim that the write has made.
func (d *directDelivery) claim(c *Change, applied *Applied) delivery {
	var claimed delivery
	target := &c.Notify[d.index]
	key := applied.Incident.Key()
	for i := range c.Activities {
		a := c.Activities[i].Clone()
		a.Incident, a.Sequence = key, applied.Sequence+int64(i)
		switch {
		case !target.Wants(a.Type):
		case claimed.Sequence == 0:
			claimed.Activity, claimed.Sequence = a, a.Sequence
		default:
			claimed.later = append(claimed.later, a)
		}
	}
	claimed.Key, claimed.Notifier, claimed.Fence = key, target.Notifier, applied.Fence
	claimed.Incident, claimed.Attempt, claimed.Now = applied.Incident.Clone(), 1, time.Now()
	for i := range c.Subscriptions {
		claimed.Subscribers = append(claimed.Subscribers, c.Subscriptions[i].UserID)
	}
	slices.Sort(claimed.Subscribers)
	claimed.Subscribers = slices.Compact(claimed.Subscribers)
	return claimed
}
