package managertest

import (
	"context"
	"fmt"
	"time"

	"github.com/incidentkit/incident"
)

// AuditOutbox drains the outbox, and checks that it held each activity of the
// organizations' incidents once, in order of Sequence.
func AuditOutbox(ctx context.Context, m incident.Manager, s incident.OutboxStore, orgs ...incident.OrganizationID) error {
	came := map[incident.Key]int64{}
	deadline := time.Now().Add(5 * time.Second)
	for {
		claims, err := s.Claim(ctx, incident.ClaimQuery{Limit: 100, PerOrganization: 100, Lease: time.Hour})
		if err != nil {
			return err
		}
		if len(claims) == 0 {
			// A claim skips queues locked by a transaction that the server has not ended
			// yet.
			b, err := s.Backlog(ctx)
			if err != nil {
				return err
			}
			if b[""].Pending == 0 || time.Now().After(deadline) {
				break
			}
			time.Sleep(5 * time.Millisecond)
			continue
		}
		settlements := make([]incident.Settlement, len(claims))
		for i, c := range claims {
			came[c.Key]++
			if c.Sequence != came[c.Key] || c.Activity.Sequence != c.Sequence || c.Incident.Key() != c.Key {
				return fmt.Errorf("notification %d of %s is %s", came[c.Key], c.Key, describe(c))
			}
			settlements[i] = incident.Settlement{Ticket: c.Ticket, Outcome: incident.OutcomeDelivered}
		}
		if busy, err := s.Settle(ctx, settlements); err != nil || len(busy) > 0 {
			return fmt.Errorf("settling: %v are busy, %w", busy, err)
		}
	}
	for _, org := range orgs {
		all, err := allIncidents(ctx, m, incident.IncidentFilter{OrganizationID: org, Limit: incident.MaxPageSize})
		if err != nil {
			return err
		}
		for _, inc := range all {
			log, err := allActivities(ctx, m, inc.Key(), incident.ActivityFilter{Limit: incident.MaxPageSize})
			if err != nil {
				return err
			}
			if n := came[inc.Key()]; n != int64(len(log)) {
				return fmt.Errorf("%s has %d activities, but %d were queued", inc.Key(), len(log), n)
			}
			delete(came, inc.Key())
		}
	}
	if len(came) > 0 {
		return fmt.Errorf("notifications were queued for incidents that do not exist: %v", came)
	}
	return nil
}
