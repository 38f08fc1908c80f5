package main

import (
	"context"
	"strings"
	"time"

	"github.com/incidentkit/incident"
)

// The triggers of the demonstration's rules.
const (
	warning  incident.TriggerID = "warning"
	critical incident.TriggerID = "critical"
)

// open plans the begin of an incident: a tool fires a warning and, three minutes later, the critical
// trigger, or a person reports it. The key is set when the incident is open.
func (p *player) open(s *scenario, at time.Time, severity incident.Status) *incident.Key {
	p.opened++
	key := new(incident.Key)
	if s.rule == "" {
		p.add(at, func(ctx context.Context, tx incident.Manager) error {
			n := incident.NewIncident{OrganizationID: s.organization, Title: s.title, Status: severity, UserID: "kim", Labels: s.labels()}
			if s.project != "" {
				n.Projects = []incident.ProjectID{s.project}
			}
			r, err := tx.Create(ctx, n)
			*key = r.Key()
			return err
		})
		return key
	}
	fire := func(at time.Time, trigger incident.TriggerID, severity incident.Status) {
		p.add(at, func(ctx context.Context, tx incident.Manager) error {
			r, err := tx.Fire(ctx, incident.Firing{
				Slot: s.slot(), TriggerID: trigger, Severity: severity, Title: s.title, Labels: s.labels(), Annotations: s.annotations(),
			})
			*key = r.Key()
			return err
		})
	}
	fire(at, warning, incident.StatusWarning)
	if severity == incident.StatusCritical {
		fire(at.Add(3*time.Minute), critical, severity)
	}
	return key
}

func (s *scenario) slot() incident.Slot {
	return incident.Slot{OrganizationID: s.organization, AlertRuleID: s.rule, ProjectID: s.project, QueryID: s.query}
}

func (s *scenario) labels() map[string]string {
	labels := map[string]string{"team": s.team}
	if name, value, ok := strings.Cut(string(s.query), "="); ok {
		labels[name] = value
	}
	return labels
}

func (s *scenario) annotations() map[string]string {
	return map[string]string{"runbook": "https://runbooks.example/" + string(s.rule)}
}

// respond plans that a user acknowledges the incident, and takes it over.
func (p *player) respond(_ *scenario, key *incident.Key, at time.Time, user incident.UserID) {
	p.add(at, func(ctx context.Context, tx incident.Manager) error {
		if _, err := tx.MarkSeen(ctx, *key, user); err != nil {
			return err
		}
		if _, err := tx.Acknowledge(ctx, *key, incident.Acknowledgement{UserID: user}); err != nil {
			return err
		}
		_, err := tx.Assign(ctx, *key, incident.Assignment{UserID: user, Assignee: user})
		return err
	})
}

func (p *player) comment(key *incident.Key, at time.Time, user incident.UserID, text string) {
	p.add(at, func(ctx context.Context, tx incident.Manager) error {
		_, err := tx.Comment(ctx, *key, incident.NewComment{UserID: user, Comment: text})
		return err
	})
}

// close plans the end: the tool resolves its triggers, and a user says why. A user ends an incident
// that a person has reported.
func (p *player) close(s *scenario, key *incident.Key, at time.Time, user incident.UserID) {
	p.add(at, func(ctx context.Context, tx incident.Manager) error {
		if s.rule == "" {
			_, err := tx.UpdateStatus(ctx, *key, incident.StatusUpdate{Status: incident.StatusClosed, UserID: user, Comment: s.cause})
			return err
		}
		for _, trigger := range []incident.TriggerID{critical, warning} {
			if _, err := tx.Resolve(ctx, incident.Resolution{Slot: s.slot(), TriggerID: trigger}); err != nil {
				return err
			}
		}
		_, err := tx.Comment(ctx, *key, incident.NewComment{UserID: user, Comment: s.cause})
		return err
	})
}
