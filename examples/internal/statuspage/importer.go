package statuspage

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// author is the user of the imported comments.
const author incident.UserID = "statuspage"

// Tally counts the incidents and updates in a file, and the new ones among them.
type Tally struct {
	incidents, newIncidents int
	updates, newUpdates     int
	closed, linked          int
}

func (t Tally) String() string {
	return fmt.Sprintf("%d of %d incidents and %d of %d updates are new; closed %d incidents, linked %d components",
		t.newIncidents, t.incidents, t.newUpdates, t.updates, t.closed, t.linked)
}

// Import adds the parts of the page's history that incidents lacks. It runs in a single
// transaction: nothing is written if the Manager refuses a text, the store fails, or ctx
// ends.
//
// Import only adds. A known incident keeps its title and severity, and stays closed once
// it is closed, because the file may be older than the stored data. After each incident
// Import calls progress with the number of incidents done.
func Import(ctx context.Context, incidents incident.Manager, past *History, progress func(done int)) (Tally, error) {
	var t Tally
	err := incidents.InTx(ctx, func(tx incident.Manager) error {
		// List validates the page's ID first, so that the error is about the page.
		if _, err := tx.List(ctx, incident.IncidentFilter{OrganizationID: past.Page, Limit: 1}); err != nil {
			return past.refused(past.pageAt, "", err)
		}
		for n, p := range past.incidents {
			one := incidentImport{tx: tx, past: past, p: p, tally: &t}
			if err := one.run(ctx); err != nil {
				return within(p, err)
			}
			progress(n + 1)
		}
		return nil
	})
	if err != nil {
		return Tally{}, err
	}
	return t, nil
}

// incidentImport is the import of an incident.
type incidentImport struct {
	tx    incident.Manager
	past  *History
	p     pastIncident
	tally *Tally

	incident incident.Incident
	known    map[uuid.UUID]bool // notifications that the incident already has
}

func (i *incidentImport) run(ctx context.Context) error {
	if err := i.create(ctx); err != nil {
		return err
	}
	if err := i.link(ctx); err != nil {
		return err
	}
	// In order of time: a postmortem follows the end.
	end := i.p.updatesUntilEnd()
	if err := i.comment(ctx, i.p.updates[:end]); err != nil {
		return err
	}
	if err := i.close(ctx); err != nil {
		return err
	}
	return i.comment(ctx, i.p.updates[end:])
}

func (i *incidentImport) create(ctx context.Context) error {
	created, err := i.tx.Create(ctx, incident.NewIncident{
		OrganizationID: i.past.Page,
		Title:          i.p.title,
		Status:         i.p.severity,
		Projects:       i.p.components,
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

// link adds the components that the page has named since the incident was created.
func (i *incidentImport) link(ctx context.Context) error {
	for _, c := range i.p.components {
		if slices.Contains(i.incident.Projects, c) {
			continue
		}
		linked, err := i.tx.LinkProject(ctx, i.incident.Key(), c)
		if err != nil {
			return i.past.refused(i.p.at, "started_at", err)
		}
		if linked.Changed {
			i.tally.linked++
		}
	}
	return nil
}

func (i *incidentImport) comment(ctx context.Context, updates []pastUpdate) error {
	for _, u := range updates {
		i.tally.updates++
		id := i.uuid("update", u.id)
		if i.known[id] {
			continue
		}
		_, err := i.tx.Comment(ctx, i.incident.Key(), incident.NewComment{
			UserID:           author,
			Comment:          u.body,
			Date:             u.date,
			NotificationUUID: id,
		})
		if err != nil {
			return within(u, i.past.refused(u.at, "display_at", err))
		}
		i.tally.newUpdates++
	}
	return nil
}

func (i *incidentImport) close(ctx context.Context) error {
	if i.p.resolved == nil {
		return nil
	}
	closed, err := i.tx.UpdateStatus(ctx, i.incident.Key(), incident.StatusUpdate{
		Status:           incident.StatusClosed,
		UserID:           author,
		Date:             *i.p.resolved,
		NotificationUUID: i.uuid("resolved"),
	})
	if err != nil {
		return i.past.refused(i.p.at, "resolved_at", err)
	}
	if closed.Changed {
		i.tally.closed++
	}
	return nil
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
