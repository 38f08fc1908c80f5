package alertmanager

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/incidentkit/incident"
)

// pass is a pass of a Reconciler over the active incidents.
type pass struct {
	*Reconciler
	ctx      context.Context
	at       time.Time       // before the answer of the source
	present  map[target]bool // the triggers of the alerts in the answer
	unmapped slots           // of the alerts in the answer whose triggers are not known
	kept     map[target]bool // the triggers whose alerts are absent
	done     *Reconciled
}

// incidents visits all active incidents of the source, page by page.
func (p *pass) incidents() error {
	filter := incident.IncidentFilter{
		OrganizationID: p.options.Organization,
		Statuses:       incident.ActiveStatuses(),
		Labels:         map[string]string{SourceLabel: p.handler.options.Source},
		Limit:          incident.MaxPageSize,
	}
	for {
		page, err := p.handler.manager.List(p.ctx, filter)
		if err != nil {
			return err
		}
		for i := range page.Incidents {
			p.done.Incidents++
			if err := p.visit(&page.Incidents[i]); err != nil {
				return err
			}
		}
		if filter.Cursor = page.Next; filter.Cursor == "" {
			return nil
		}
	}
}

// visit resolves the triggers of an incident whose alerts have been absent for long enough.
func (p *pass) visit(inc *incident.Incident) error {
	slots := make([]incident.Slot, len(inc.Projects))
	for i, project := range inc.Projects {
		slots[i] = incident.Slot{OrganizationID: inc.OrganizationID, AlertRuleID: inc.AlertRuleID, ProjectID: project, QueryID: inc.QueryID}
	}
	if inc.AlertRuleID == "" || len(slots) == 0 { // it occupies no slot
		return nil
	}
	if p.unmapped.mayHave(inc) {
		return nil
	}
	triggers, err := p.handler.manager.Triggers(p.ctx, inc.Key())
	if errors.Is(err, incident.ErrNotFound) { // deleted meanwhile
		return nil
	}
	if err != nil {
		return err
	}
	for i := range triggers {
		t := &triggers[i]
		if t.Status != incident.TriggerStatusActive || p.isPresent(slots, t.TriggerID) {
			continue
		}
		p.done.Absent++
		for _, slot := range slots {
			p.kept[target{slot, t.TriggerID}] = true
		}
		since := p.since(slots, t, p.at)
		switch {
		case p.at.Sub(since) < p.options.Grace:
		case p.done.Resolved >= p.options.Most:
			p.done.Postponed++
		default:
			if err := p.resolve(slots[0], t.TriggerID, since); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *pass) isPresent(slots []incident.Slot, trigger incident.TriggerID) bool {
	for _, slot := range slots {
		if p.present[target{slot, trigger}] {
			return true
		}
	}
	return false
}

func (p *pass) resolve(slot incident.Slot, trigger incident.TriggerID, since time.Time) error {
	r, err := p.handler.manager.Resolve(p.ctx, incident.Resolution{Slot: slot, TriggerID: trigger, Date: since})
	if err != nil || !r.Changed {
		return err
	}
	p.done.Resolved++
	p.handler.counters.reconciled.Add(1)
	p.handler.options.Logger.LogAttrs(p.ctx, slog.LevelInfo, "alertmanager: resolved an alert that the source no longer has",
		slog.String("incident", r.Key().String()), slog.Time("since", since))
	return nil
}
