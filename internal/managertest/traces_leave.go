package managertest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/incidentkit/incident"
)

// tracedIncidents is the number of incidents that leaveTraces opens.
const tracedIncidents = 4

// tracer makes calls in an organization, and keeps their first error.
type tracer struct {
	ctx context.Context
	m   incident.Manager
	org incident.OrganizationID
	err error
}

// leaveTraces makes the calls that store the ID of a user, in an organization of its own: the user
// takes part in activities of each type, in a response, views and subscriptions. Notifications
// are parked and delayed with errors that name the user.
func leaveTraces(ctx context.Context, m incident.Manager, s incident.OutboxStore, org incident.OrganizationID) error {
	t := &tracer{ctx: ctx, m: m, org: org}
	t.byHand()
	t.byTriggers()
	t.closed()
	t.ofOthers()
	if t.err != nil {
		return fmt.Errorf("leaving traces: %w", t.err)
	}
	for _, notifier := range []string{"", "pager"} {
		if err := fail(ctx, s, notifier, org); err != nil {
			return fmt.Errorf("leaving traces: %w", err)
		}
	}
	return nil
}

func (t *tracer) do(err error) { t.err = errors.Join(t.err, err) }

func (t *tracer) create(by incident.UserID) incident.Key {
	r, err := t.m.Create(t.ctx, incident.NewIncident{
		OrganizationID: t.org, Title: "Down", UserID: by, Projects: []incident.ProjectID{"shop"},
		Labels: map[string]string{"team": "payments"}, Annotations: map[string]string{"runbook": "Restart it"},
	})
	t.do(err)
	return r.Key()
}

func (t *tracer) comment(key incident.Key, by incident.UserID, mentions ...incident.UserID) incident.Activity {
	a, err := t.m.Comment(t.ctx, key, incident.NewComment{UserID: by, Comment: "Looking", Mentions: mentions})
	t.do(err)
	return a
}

func (t *tracer) assign(key incident.Key, to, by incident.UserID) {
	_, err := t.m.Assign(t.ctx, key, incident.Assignment{Assignee: to, UserID: by})
	t.do(err)
}

// byHand leaves an incident that the user has assigned, acknowledged and commented on.
func (t *tracer) byHand() {
	key := t.create(tracedUser)
	for _, a := range []incident.Acknowledgement{{}, {Withdraw: true}, {Until: time.Now().Add(time.Hour)}} {
		a.UserID = tracedUser
		_, err := t.m.Acknowledge(t.ctx, key, a)
		t.do(err)
	}
	t.assign(key, tracedUser, namesake)
	t.assign(key, namesake, tracedUser)
	t.assign(key, tracedUser, tracedUser)
	edited, deleted := t.comment(key, tracedUser, namesake), t.comment(key, tracedUser)
	t.comment(key, namesake, tracedUser)
	t.comment(key, "")
	_, err := t.m.EditComment(t.ctx, key, incident.CommentEdit{Sequence: edited.Sequence, UserID: tracedUser, Comment: "Found"})
	t.do(err)
	_, err = t.m.DeleteComment(t.ctx, key, incident.CommentEdit{Sequence: deleted.Sequence, UserID: tracedUser})
	t.do(err)
	_, err = t.m.Edit(t.ctx, key, incident.Edit{UserID: tracedUser, Title: "Down again", Labels: map[string]string{"team": "shop"}})
	t.do(err)
	_, err = t.m.UpdateStatus(t.ctx, key, incident.StatusUpdate{Status: incident.StatusCritical, UserID: tracedUser, Comment: "Worse"})
	t.do(err)
	t.people(key, tracedUser, namesake)
	t.do(t.m.Remind(t.ctx, key, incident.Reminder{Name: "escalate", Notifier: "pager", At: time.Now().Add(time.Hour)}))
	t.do(t.m.Remind(t.ctx, key, incident.Reminder{Name: "soon", At: time.Now().Add(10 * time.Millisecond)}))
}

func (t *tracer) people(key incident.Key, users ...incident.UserID) {
	for _, user := range users {
		_, err := t.m.MarkSeen(t.ctx, key, user)
		t.do(err)
		_, err = t.m.Subscribe(t.ctx, key, user)
		t.do(err)
	}
}

// byTriggers leaves an incident of an alert rule, to which the user is assigned.
func (t *tracer) byTriggers() {
	slot := incident.Slot{OrganizationID: t.org, AlertRuleID: "latency", ProjectID: "shop", QueryID: "p99"}
	var key incident.Key
	for _, trigger := range []incident.TriggerID{"warning", "critical"} {
		r, err := t.m.Fire(t.ctx, incident.Firing{Slot: slot, TriggerID: trigger, Severity: incident.StatusCritical, Title: "Slow"})
		t.do(err)
		key = r.Key()
	}
	_, err := t.m.Resolve(t.ctx, incident.Resolution{Slot: slot, TriggerID: "warning"})
	t.do(err)
	for _, project := range []incident.ProjectID{"checkout", "search"} {
		_, err := t.m.LinkProject(t.ctx, key, project)
		t.do(err)
	}
	_, err = t.m.UnlinkProject(t.ctx, key, "search")
	t.do(err)
	t.assign(key, tracedUser, "")
	_, err = t.m.AcknowledgeAll(t.ctx, []incident.Key{key}, incident.Acknowledgement{UserID: tracedUser})
	t.do(err)
	t.people(key, tracedUser)
}

// closed leaves an incident that the user has closed as a duplicate.
func (t *tracer) closed() {
	key := t.create("")
	t.assign(key, tracedUser, namesake)
	_, err := t.m.MarkDuplicate(t.ctx, key, incident.Duplicate{Of: 1, UserID: tracedUser})
	t.do(err)
	_, err = t.m.UpdateStatusAll(t.ctx, []incident.Key{key}, incident.StatusUpdate{Status: incident.StatusClosed, UserID: tracedUser})
	t.do(err)
}

// ofOthers leaves an incident without a trace of the user.
func (t *tracer) ofOthers() {
	key := t.create(namesake)
	t.comment(key, namesake)
	t.people(key, namesake)
}

// fail parks the first notification of each incident of an organization, delays the second, and
// parks the reminder that is due. Their errors name the user.
func fail(ctx context.Context, s incident.OutboxStore, notifier string, org incident.OrganizationID) error {
	time.Sleep(20 * time.Millisecond) // the reminder "soon" is due
	for _, outcome := range []incident.Outcome{incident.OutcomePark, incident.OutcomeRetry} {
		var claims []incident.Claim
		for begun := time.Now(); len(claims) == 0; time.Sleep(time.Millisecond) { // a store may pass over a due queue for a moment
			var err error
			if claims, err = claimOf(ctx, s, notifier, org); err != nil {
				return err
			}
			if time.Since(begun) > 20*time.Second {
				return errors.New("nothing is queued")
			}
		}
		var all []incident.Settlement
		for _, c := range claims {
			end := incident.Settlement{Ticket: c.Ticket, Outcome: outcome, Error: "there is no address of " + string(tracedUser)}
			if c.Reminder != nil {
				end.Outcome = incident.OutcomePark
			} else if outcome == incident.OutcomeRetry {
				end.After = time.Millisecond
			}
			all = append(all, end)
		}
		if err := settleAll(ctx, s, all, time.Now().Add(20*time.Second)); err != nil {
			return err
		}
	}
	return nil
}

// claimOf claims queues of one of the traced organizations.
func claimOf(ctx context.Context, s incident.OutboxStore, notifier string, org incident.OrganizationID) ([]incident.Claim, error) {
	other := tracedOrg
	if org == tracedOrg {
		other = besideOrg
	}
	return s.Claim(ctx, incident.ClaimQuery{
		NotifyTarget: incident.NotifyTarget{Notifier: notifier}, Limit: 100, PerOrganization: 100,
		Except: []incident.OrganizationID{other}, Lease: time.Hour,
	})
}

// deliverAll settles all notifications of an organization for a notifier as delivered.
func deliverAll(ctx context.Context, s incident.OutboxStore, notifier string, org incident.OrganizationID) error {
	for idle := 0; idle < 10; {
		claims, err := claimOf(ctx, s, notifier, org)
		if err != nil {
			return err
		}
		if len(claims) == 0 { // delayed, or locked by a transaction that the server has not ended yet
			idle++
			time.Sleep(5 * time.Millisecond)
			continue
		}
		idle = 0
		var all []incident.Settlement
		for _, c := range claims {
			all = append(all, incident.Settlement{Ticket: c.Ticket, Outcome: incident.OutcomeDelivered})
		}
		if err := settleAll(ctx, s, all, time.Now().Add(20*time.Second)); err != nil {
			return err
		}
	}
	return nil
}
