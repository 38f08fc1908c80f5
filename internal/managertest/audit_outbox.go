package managertest

import (
	"context"
	"fmt"
	"time"

	"github.com/incidentkit/incident"
)

// AuditOutbox drains the queues of the notifier without a name, and checks that they held each
// activity of the organizations' incidents once, in order of Sequence.
func AuditOutbox(ctx context.Context, m incident.Manager, s incident.OutboxStore, orgs ...incident.OrganizationID) error {
	_, err := auditNotifier(ctx, m, s, incident.NotifyTarget{}, orgs...)
	return err
}

// drained is what an outbox held for a notifier.
type drained struct {
	sequences map[incident.Key][]int64
	reminders map[incident.Key][]incident.Reminder // that were due
}

// auditNotifier drains the queues of a notifier, and checks that they held each activity of a
// wanted type of the organizations' incidents once, in order of Sequence.
func auditNotifier(ctx context.Context, m incident.Manager, s incident.OutboxStore, target incident.NotifyTarget, orgs ...incident.OrganizationID) (drained, error) {
	held, err := drain(ctx, s, target)
	if err != nil {
		return held, err
	}
	queued := len(held.sequences)
	for _, org := range orgs {
		all, err := allIncidents(ctx, m, incident.IncidentFilter{OrganizationID: org, Limit: incident.MaxPageSize})
		if err != nil {
			return held, err
		}
		for _, inc := range all {
			log, err := allActivities(ctx, m, inc.Key(), incident.ActivityFilter{Limit: incident.MaxPageSize})
			if err != nil {
				return held, err
			}
			var want []int64
			for _, a := range log {
				if target.Wants(a.Type) {
					want = append(want, a.Sequence)
				}
			}
			got := held.sequences[inc.Key()]
			if fmt.Sprint(got) != fmt.Sprint(want) {
				return held, fmt.Errorf("of %s the activities %v were queued, want %v", inc.Key(), got, want)
			}
			if len(got) > 0 {
				queued--
			}
		}
	}
	if queued > 0 {
		return held, fmt.Errorf("notifications were queued for incidents that do not exist: %v", held.sequences)
	}
	return held, nil
}

// drain claims and settles until nothing is due.
func drain(ctx context.Context, s incident.OutboxStore, target incident.NotifyTarget) (drained, error) {
	held := drained{map[incident.Key][]int64{}, map[incident.Key][]incident.Reminder{}}
	deadline := time.Now().Add(20 * time.Second)
	for {
		claims, err := s.Claim(ctx, incident.ClaimQuery{NotifyTarget: target, Limit: 100, PerOrganization: 100, Lease: time.Hour})
		if err != nil {
			return held, err
		}
		if len(claims) == 0 {
			// A claim skips queues locked by a transaction that the server has not ended
			// yet.
			b, err := s.Backlog(ctx)
			if err != nil {
				return held, err
			}
			if b[target.Notifier].Pending == 0 || time.Now().After(deadline) {
				return held, nil
			}
			time.Sleep(5 * time.Millisecond)
			continue
		}
		settlements := make([]incident.Settlement, len(claims))
		for i, c := range claims {
			if err := held.add(&c, target); err != nil {
				return held, err
			}
			settlements[i] = incident.Settlement{Ticket: c.Ticket, Outcome: incident.OutcomeDelivered}
		}
		if err := settleAll(ctx, s, settlements, deadline); err != nil {
			return held, err
		}
	}
}

// settleAll settles claims, and repeats the settlements that are busy until the deadline.
func settleAll(ctx context.Context, s incident.OutboxStore, all []incident.Settlement, deadline time.Time) error {
	for {
		busy, err := s.Settle(ctx, all)
		if err != nil {
			return fmt.Errorf("settling: %w", err)
		}
		if len(busy) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("settling: %v are busy", busy)
		}
		rest := make([]incident.Settlement, len(busy))
		for i, index := range busy {
			rest[i] = all[index]
		}
		all = rest
		time.Sleep(5 * time.Millisecond)
	}
}

func (d *drained) add(c *incident.Claim, target incident.NotifyTarget) error {
	wrong := c.Incident.Key() != c.Key || c.Notifier != target.Notifier
	if r := c.Reminder; r != nil {
		wrong = wrong || r.Name != c.Ticket.Reminder || r.At.UnixMicro() != c.Sequence || r.Notifier != target.Notifier ||
			!c.Incident.Status.Active() || c.Activity != (incident.Activity{})
		d.reminders[c.Key] = append(d.reminders[c.Key], *r)
	} else {
		wrong = wrong || c.Activity.Sequence != c.Sequence || !target.Wants(c.Activity.Type)
		d.sequences[c.Key] = append(d.sequences[c.Key], c.Sequence)
	}
	if wrong {
		return fmt.Errorf("a notification for %q is %s", target.Notifier, describe(*c))
	}
	return nil
}
