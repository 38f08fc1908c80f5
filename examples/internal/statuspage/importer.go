package statuspage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// author is the user of the imported comments.
const author incident.UserID = "statuspage"

// Import adds the parts of the page's history that incidents lacks. It runs in a single
// transaction: nothing is written if the store fails or ctx ends.
//
// A record that cannot be used is left out. Then Import imports all others, and returns the
// Tally and a [LeftOut]. With [Options.Strict] it writes nothing instead, and returns the
// first fault.
//
// Import only adds. A known incident keeps its start, its title and its severity. It is
// resolved and reopened as its updates say, each change once: changes of users persist, and
// an older file of the page changes nothing. A maintenance is imported once it has begun.
//
// After each incident Import calls progress with the number of incidents done.
func Import(ctx context.Context, incidents incident.Manager, past *History, progress func(done int)) (Tally, error) {
	var t Tally
	var refused LeftOut
	now := time.Now()
	err := incidents.InTx(ctx, func(tx incident.Manager) error {
		// List validates the page's ID first, so that the error is about the page.
		if _, err := tx.List(ctx, incident.IncidentFilter{OrganizationID: past.Page, Limit: 1}); err != nil {
			return past.refused(past.pageAt, "", err)
		}
		for n, p := range past.incidents {
			one := incidentImport{tx: tx, past: past, p: p, now: now, tally: &t, refused: &refused}
			if err := one.run(ctx); err != nil {
				return err
			}
			progress(n + 1)
		}
		return nil
	})
	if err != nil {
		return Tally{}, err
	}
	return t, past.leftOut.with(&refused)
}

// incidentImport is the import of an incident.
type incidentImport struct {
	tx      incident.Manager
	past    *History
	p       pastIncident
	now     time.Time
	tally   *Tally
	refused *LeftOut

	incident incident.Incident
	known    map[uuid.UUID]bool // notifications that the incident already has
}

// leaveOut returns nil for a fault of a record, and remembers the fault. It returns other
// errors, and in strict mode all.
func (i *incidentImport) leaveOut(err error) error {
	err = within(i.p, err)
	if _, ok := errors.AsType[*fileError](err); !ok || i.past.strict {
		return err
	}
	i.refused.add(err)
	return nil
}

// run imports the incident. It leaves out an incident that the Manager does not create, and
// returns any later refusal, since the incident would be incomplete.
func (i *incidentImport) run(ctx context.Context) error {
	if i.p.planned && i.p.started.After(i.now) {
		i.tally.planned++
		return nil
	}
	if err := i.create(ctx); err != nil {
		return i.leaveOut(err)
	}
	if err := i.link(ctx); err != nil {
		return within(i.p, err)
	}
	// In order of time: a postmortem follows the end.
	end := i.p.updatesUntilEnd()
	if err := i.update(ctx, i.p.updates[:end]); err != nil {
		return err
	}
	if err := i.close(ctx); err != nil {
		return within(i.p, err)
	}
	return i.update(ctx, i.p.updates[end:])
}

func (i *incidentImport) create(ctx context.Context) error {
	// UpdateStatus refuses such a date too, but only once the incident exists.
	if i.p.resolved != nil && i.p.resolved.After(i.now.Add(incident.MaxClockLead)) {
		return i.past.errorf(i.p.at, "resolved_at must not be more than %s in the future", incident.MaxClockLead)
	}
	components := i.p.components
	if !i.past.strict {
		components = components[:min(len(components), incident.MaxProjects)]
	}
	created, err := i.tx.Create(ctx, incident.NewIncident{
		OrganizationID: i.past.Page,
		Title:          i.p.title,
		Status:         i.p.severity,
		Projects:       components,
		DetectionUUID:  i.uuid("incident"),
		DateStarted:    i.p.started,
		UserID:         author,
	})
	if err != nil {
		return i.past.refused(i.p.at, "started_at", err)
	}
	i.incident = created.Incident
	i.tally.incidents++
	if created.Changed {
		i.tally.newIncidents++
		return nil
	}
	activities, err := Activities(ctx, i.tx, created.Key())
	i.known = make(map[uuid.UUID]bool, len(activities))
	for _, a := range activities {
		i.known[a.NotificationUUID] = true
	}
	return err
}

// link adds the components that the page has named since the incident was created, up to
// the limit.
func (i *incidentImport) link(ctx context.Context) error {
	projects := len(i.incident.Projects)
	for _, c := range i.p.components {
		if slices.Contains(i.incident.Projects, c) {
			continue
		}
		if projects >= incident.MaxProjects && !i.past.strict {
			i.tally.beyond++
			continue
		}
		linked, err := i.tx.LinkProject(ctx, i.incident.Key(), c)
		if err != nil {
			return i.past.refused(i.p.at, "started_at", err)
		}
		projects++
		if linked.Changed {
			i.tally.linked++
		}
	}
	return nil
}

// update adds the updates, and leaves out those that the Manager refuses.
func (i *incidentImport) update(ctx context.Context, updates []pastUpdate) error {
	for _, u := range updates {
		err := i.comment(ctx, u)
		if err == nil {
			err = i.follow(ctx, u)
		}
		if err != nil {
			if err = i.leaveOut(within(u, i.past.refused(u.at, "display_at", err))); err != nil {
				return err
			}
		}
	}
	return nil
}

// comment adds the text of an update, if any.
func (i *incidentImport) comment(ctx context.Context, u pastUpdate) error {
	if u.blank() && !i.past.strict {
		i.tally.blank++
		return nil
	}
	id := i.uuid("update", u.id)
	if !i.known[id] {
		_, err := i.tx.Comment(ctx, i.incident.Key(), incident.NewComment{
			UserID:           author,
			Comment:          u.body,
			Date:             u.date,
			NotificationUUID: id,
		})
		if err != nil {
			return err
		}
		i.tally.newUpdates++
	}
	i.tally.updates++
	return nil
}

// follow resolves or reopens the incident, if the update did so.
func (i *incidentImport) follow(ctx context.Context, u pastUpdate) error {
	switch u.effect {
	case resolves:
		_, err := i.setStatus(ctx, incident.StatusClosed, u.date, u.id)
		return err
	case reopens:
		changed, err := i.setStatus(ctx, i.p.severity, u.date, u.id)
		if changed {
			i.tally.reopened++
		}
		return err
	}
	return nil
}

// close resolves the incident, if the page did so.
func (i *incidentImport) close(ctx context.Context) error {
	if i.p.resolved == nil {
		return nil
	}
	changed, err := i.setStatus(ctx, incident.StatusClosed, *i.p.resolved, i.p.closing)
	if changed {
		i.tally.closed++
	}
	return i.past.refused(i.p.at, "resolved_at", err)
}

// setStatus resolves or reopens the incident on behalf of an update; update is empty if the
// page names none. An update of an earlier import is not repeated, since a user may have
// changed the status later.
//
// A page may move the start and the end of an incident back after its first import. The
// stored start stays, and the end is not before it.
func (i *incidentImport) setStatus(ctx context.Context, to incident.Status, at time.Time, update string) (changed bool, err error) {
	name := []string{"resolved"}
	if to != incident.StatusClosed {
		name[0] = "reopened"
	}
	if update != "" {
		name = append(name, update)
		if i.known[i.uuid("update", update)] {
			return false, nil
		}
	}
	if at.Before(i.incident.DateStarted) {
		at = i.incident.DateStarted
	}
	r, err := i.tx.UpdateStatus(ctx, i.incident.Key(), incident.StatusUpdate{
		Status:           to,
		UserID:           author,
		Date:             at,
		NotificationUUID: i.uuid(name...),
	})
	return r.Changed, err
}

// uuid returns an idempotency key for a write to the incident. It is the same for every
// file of the page.
func (i *incidentImport) uuid(what ...string) uuid.UUID {
	// The namespace must never change.
	namespace := uuid.MustParse("5d0c1f0e-9a34-4a55-8f0b-6a2f1c3e7d42")
	// The lengths distinguish "a", "bc" from "ab", "c".
	var name strings.Builder
	for _, part := range append([]string{string(i.past.Page), i.p.id}, what...) {
		fmt.Fprintf(&name, "%d:%s", len(part), part)
	}
	return uuid.NewSHA1(namespace, []byte(name.String()))
}

// Activities returns the whole history of an incident, page by page.
func Activities(ctx context.Context, incidents incident.Manager, key incident.Key) ([]incident.Activity, error) {
	var all []incident.Activity
	f := incident.ActivityFilter{Limit: incident.MaxPageSize}
	for {
		page, err := incidents.Activities(ctx, key, f)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Activities...)
		if page.Next == "" {
			return all, nil
		}
		f.Cursor = page.Next
	}
}
