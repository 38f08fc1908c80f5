package sqlite

import (
	"context"
	"slices"

	"github.com/incidentkit/incident"
)

var errOutboxTx = &incident.FieldError{Field: "tx", Problem: "cannot claim, settle or discard; call the store outside the transaction"}

// Claim implements [incident.OutboxStore]. Without a due queue it writes nothing.
func (s *Store) Claim(ctx context.Context, cq incident.ClaimQuery) ([]incident.Claim, error) {
	if s.tx != nil {
		return nil, translate(ctx, "claim", errOutboxTx)
	}
	due, err := read(ctx, s, "claim", oneStatement, func(ctx context.Context, q session) (bool, error) {
		return isDue(ctx, q, cq.Notifier)
	})
	if err != nil || !due {
		return nil, err
	}
	for writes := 1; ; writes++ {
		c, err := put(ctx, s, "claim", func(ctx context.Context, q session) (*claiming, error) {
			c := &claiming{ClaimQuery: &cq, session: q, ctx: ctx, now: now(), last: writes == maxClaimWrites}
			return c, c.claim()
		})
		if err != nil {
			return nil, err
		}
		if !c.postponed {
			return c.claims, nil
		}
	}
}

const isDueSQL = `
SELECT EXISTS (SELECT 1 FROM incident_queue WHERE notifier = ?1 AND ready = 1)
	OR EXISTS (SELECT 1 FROM incident_queue WHERE notifier = ?1 AND ready = 0 AND due < 9223372036854775807 AND due <= ?2)`

// isDue reports whether a queue of the notifier is due.
func isDue(ctx context.Context, q session, notifier string) (due bool, err error) {
	_, err = queryOne(ctx, q, isDueSQL, []any{notifier, now()}, boolean(&due))
	return due, err
}

// claiming is a claim in progress.
type claiming struct {
	*incident.ClaimQuery
	session
	ctx    context.Context // of the statements; it does not end
	now    int64
	fence  int64
	claims []incident.Claim

	last      bool // claims even if more queues have arrived than a write makes ready
	postponed bool // has claimed nothing; another write must follow
}

// maxMatured is the most leases and delays that a claim looks at.
const maxMatured = 1000

// A write of a claim makes up to maxArrivals new queues ready. If there are more, the next write
// continues, so that other writers get their turns in between. Claims are made by the write that finds
// fewer, or by write maxClaimWrites: until then, an organization with many new queues is in the way
// of others.
const (
	maxArrivals    = 250
	maxClaimWrites = 40
)

const arriveSQL = `
UPDATE incident_queue SET ready = 1, due = due + 9007199254740992
WHERE (organization_id, identifier, notifier, reminder, replayed) IN (
	SELECT organization_id, identifier, notifier, reminder, replayed FROM incident_queue
	WHERE notifier = ? AND ready = 0 AND due < 0 AND due < 9223372036854775807
	ORDER BY due LIMIT ?
)`

const matureSQL = `
UPDATE incident_queue SET ready = 1
WHERE (organization_id, identifier, notifier, reminder, replayed) IN (
	SELECT organization_id, identifier, notifier, reminder, replayed FROM incident_queue
	WHERE notifier = ? AND ready = 0 AND due < 9223372036854775807 AND due BETWEEN 0 AND ?
	ORDER BY due LIMIT ?
)`

const fencesSQL = `UPDATE incident_history SET claims = claims + ? RETURNING claims`

const nextOrganizationSQL = `
SELECT organization_id FROM incident_queue
WHERE notifier = ? AND ready = 1 AND organization_id > ? ORDER BY organization_id LIMIT 1`

// claim makes new queues ready, and those whose lease or delay has ended. It then walks the
// organizations that have ready queues, unless more new queues may follow.
func (c *claiming) claim() error {
	arrived, err := c.exec(c.ctx, arriveSQL, c.Notifier, maxArrivals)
	if err != nil {
		return err
	}
	if c.postponed = arrived == maxArrivals && !c.last; c.postponed {
		return nil
	}
	if _, err := c.exec(c.ctx, matureSQL, c.Notifier, c.now, maxMatured); err != nil {
		return err
	}
	if _, err := queryOne(c.ctx, c, fencesSQL, []any{c.Limit}, integer(&c.fence)); err != nil {
		return err
	}
	c.fence -= int64(c.Limit)
	for org := c.After; len(c.claims) < c.Limit; {
		found, err := queryOne(c.ctx, c, nextOrganizationSQL, []any{c.Notifier, string(org)}, text(&org))
		if err != nil || !found {
			return err
		}
		if !slices.Contains(c.Except, org) {
			if err := c.claimFrom(org); err != nil {
				return err
			}
		}
	}
	return nil
}

// most returns the number of claims that the organization may get.
func (c *claiming) most(org incident.OrganizationID) int {
	most, named := c.Allowances[org]
	if !named {
		most = c.PerOrganization
	}
	return min(most, c.Limit-len(c.claims))
}

const readySQL = `
SELECT identifier, reminder, replayed, next, last, pending, attempts, unless, status, notification_uuid FROM incident_queue
WHERE notifier = ? AND ready = 1 AND organization_id = ? ORDER BY due LIMIT ?`

// queue is a row of incident_queue.
type queue struct {
	key                 incident.Key
	notifier            string
	reminder            incident.Reminder
	replayed            int64
	next, last, pending int64
	attempts            int
}

// claimFrom claims the longest due queues of an organization. It asks again for queues that
// turn out to have no wanted activity.
func (c *claiming) claimFrom(org incident.OrganizationID) error {
	for most := c.most(org); most > 0; {
		ready, err := c.ready(org, most)
		if err != nil || len(ready) == 0 {
			return err
		}
		for i := range ready {
			claimed, err := c.claimQueue(&ready[i])
			if err != nil {
				return err
			}
			if claimed {
				most--
			}
		}
	}
	return nil
}

func (c *claiming) ready(org incident.OrganizationID, most int) (all []queue, err error) {
	var row queue
	fresh := func() { row = queue{key: incident.Key{OrganizationID: org}, notifier: c.Notifier} }
	fresh()
	r := &row.reminder
	err = queryEach(c.ctx, c, readySQL, []any{c.Notifier, string(org), most}, func() { all = append(all, row); fresh() },
		integer(&row.key.Identifier), text(&r.Name), integer(&row.replayed), integer(&row.next), integer(&row.last), integer(&row.pending),
		integer(&row.attempts), integer(&r.Unless), integer(&r.Status), identity(&r.NotificationUUID))
	return all, err
}

const leaseSQL = `
UPDATE incident_queue SET next = ?6, pending = ?7, due = ?8, ready = 0, fence = ?9, attempts = attempts + 1
WHERE organization_id = ?1 AND identifier = ?2 AND notifier = ?3 AND reminder = ?4 AND replayed = ?5`

const deleteQueueSQL = `
DELETE FROM incident_queue
WHERE organization_id = ?1 AND identifier = ?2 AND notifier = ?3 AND reminder = ?4 AND replayed = ?5`

// args returns the key of the row, followed by more.
func (u *queue) args(more ...any) []any {
	return append([]any{string(u.key.OrganizationID), u.key.Identifier, u.notifier, u.reminder.Name, u.replayed}, more...)
}

// claimQueue claims the head of a queue. It deletes a queue without a wanted activity: the
// wanted types were others when the activities were queued.
func (c *claiming) claimQueue(u *queue) (claimed bool, err error) {
	claim := incident.Claim{
		Ticket:  incident.Ticket{Key: u.key, Notifier: u.notifier, Reminder: u.reminder.Name, Replayed: u.replayed != 0},
		Attempt: u.attempts + 1,
		Now:     timeOf(c.now),
	}
	if u.reminder.Name != "" {
		r := u.reminder
		r.Notifier, r.At = u.notifier, timeOf(u.next)
		claim.Reminder, claim.Sequence = &r, u.next
	} else {
		found, err := c.head(u, &claim.Activity)
		if err != nil {
			return false, err
		}
		if !found {
			_, err := c.exec(c.ctx, deleteQueueSQL, u.args()...)
			return false, err
		}
		if err := c.skip(u, claim.Activity.Sequence); err != nil {
			return false, err
		}
		claim.Sequence, claim.More = u.next, u.next < u.last
	}
	c.fence++
	claim.Fence = c.fence
	if _, err := c.exec(c.ctx, leaseSQL, u.args(u.next, u.pending, later(c.now, c.Lease), claim.Fence)...); err != nil {
		return false, err
	}
	if claim.Incident, err = loadRow(c.ctx, c, u.key); err != nil {
		return false, err
	}
	if claim.Subscribers, err = c.subscribers(u.key); err != nil {
		return false, err
	}
	c.claims = append(c.claims, claim)
	return true, nil
}

const headSQL = `
SELECT ` + activityColumns + ` FROM incident_activity a
WHERE a.organization_id = ?1 AND a.identifier = ?2 AND a.sequence BETWEEN ?3 AND ?4` + typesSQL + `
ORDER BY a.sequence LIMIT 1`

// head reads the first wanted activity of a queue.
func (c *claiming) head(u *queue, a *incident.Activity) (bool, error) {
	found, err := queryOne(c.ctx, c, headSQL,
		[]any{string(u.key.OrganizationID), u.key.Identifier, u.next, u.last, typesOf(c.Types)}, scanActivity(a)...)
	a.Incident = u.key
	return found, err
}

// skip moves the beginning of a queue to its first wanted activity. If the wanted types are
// others than those of the appends, the number of pending activities changes.
func (c *claiming) skip(u *queue, sequence int64) error {
	if u.next == sequence {
		return nil
	}
	u.next = sequence
	n, err := countActivities(c.ctx, c, u.key, sequence, u.last, c.Types)
	u.pending = max(n, 1)
	return err
}

func (c *claiming) subscribers(key incident.Key) ([]incident.UserID, error) {
	users := []incident.UserID{}
	var user incident.UserID
	err := queryEach(c.ctx, c,
		`SELECT user_id FROM incident_subscription WHERE organization_id = ? AND identifier = ? ORDER BY user_id`,
		[]any{string(key.OrganizationID), key.Identifier}, func() { users = append(users, user) }, text(&user))
	return users, err
}
