package incident_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

var (
	now    = time.Date(2026, 3, 14, 2, 31, 0, 0, time.UTC)
	key    = incident.Key{OrganizationID: "acme", Identifier: 1}
	slot   = incident.Slot{OrganizationID: "acme", AlertRuleID: "rule", ProjectID: "checkout"}
	long   = strings.Repeat("x", incident.MaxIDSize+1)
	badIDs = map[string]string{
		"empty":         "",
		"too long":      long,
		"invalid UTF-8": "a\xff",
		"cut UTF-8":     "é"[:1],
		"surrogate":     "\xed\xa0\x80",
		"NUL":           "a\x00b",
		"newline":       "a\nb",
		"tab":           "a\tb",
		"C1 control":    "a\u0085b",
	}
)

// fixture returns a Manager with the incidents acme#1 and globex#1, and its store for snapshots.
func fixture(t *testing.T) (incident.Manager, *memory.Store) {
	t.Helper()
	store := memory.New()
	m, err := incident.New(store, &incident.Options{Now: func() time.Time { return now }, Notifier: incident.NotifyElsewhere})
	if err != nil {
		t.Fatal(err)
	}
	for _, org := range []incident.OrganizationID{"acme", "globex"} {
		inc, err := m.Create(t.Context(), incident.NewIncident{
			OrganizationID: org, Title: "Checkout is down", Projects: []incident.ProjectID{"checkout"},
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Comment(t.Context(), inc.Key(), incident.NewComment{UserID: "ada", Comment: "Looking."}); err != nil {
			t.Fatal(err)
		}
	}
	return m, store
}

// snapshot returns all records of both organizations.
func snapshot(t *testing.T, s incident.Store) any {
	t.Helper()
	var all []any
	for _, org := range []incident.OrganizationID{"acme", "globex"} {
		list, err := s.Incidents(t.Context(), incident.IncidentQuery{OrganizationID: org, Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		for _, inc := range list {
			d, err := s.LoadDetails(t.Context(), inc.Key(), "ada")
			if err != nil {
				t.Fatal(err)
			}
			log, err := s.Activities(t.Context(), inc.Key(), incident.ActivityQuery{Limit: 100})
			if err != nil {
				t.Fatal(err)
			}
			subs, err := s.Subscribers(t.Context(), inc.Key())
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, d, log, subs)
			if outbox, ok := s.(incident.OutboxStore); ok {
				reminders, err := outbox.Reminders(t.Context(), inc.Key())
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, reminders)
			}
		}
	}
	if outbox, ok := s.(incident.OutboxStore); ok {
		backlogs, err := outbox.Backlog(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for notifier, b := range backlogs {
			b.Oldest = 0 // grows
			backlogs[notifier] = b
		}
		all = append(all, backlogs)
	}
	return all
}

func create(change func(*incident.NewIncident)) func(context.Context, incident.Manager) error {
	return func(ctx context.Context, m incident.Manager) error {
		n := incident.NewIncident{OrganizationID: "acme", Title: "Search is down", Projects: []incident.ProjectID{"search"}}
		change(&n)
		_, err := m.Create(ctx, n)
		return err
	}
}

func update(change func(*incident.StatusUpdate)) func(context.Context, incident.Manager) error {
	return func(ctx context.Context, m incident.Manager) error {
		u := incident.StatusUpdate{Status: incident.StatusClosed, UserID: "ada"}
		change(&u)
		_, err := m.UpdateStatus(ctx, key, u)
		return err
	}
}

func comment(change func(*incident.NewComment)) func(context.Context, incident.Manager) error {
	return func(ctx context.Context, m incident.Manager) error {
		n := incident.NewComment{UserID: "ada", Comment: "On it."}
		change(&n)
		_, err := m.Comment(ctx, key, n)
		return err
	}
}

func fire(change func(*incident.Firing)) func(context.Context, incident.Manager) error {
	return func(ctx context.Context, m incident.Manager) error {
		f := incident.Firing{Slot: slot, TriggerID: "5%", Severity: incident.StatusWarning, Title: "Error rate"}
		change(&f)
		_, err := m.Fire(ctx, f)
		return err
	}
}

func list(change func(*incident.IncidentFilter)) func(context.Context, incident.Manager) error {
	return func(ctx context.Context, m incident.Manager) error {
		f := incident.IncidentFilter{OrganizationID: "acme"}
		change(&f)
		_, err := m.List(ctx, f)
		return err
	}
}

func parked(change func(*incident.ParkedFilter)) func(context.Context, incident.Manager) error {
	return func(ctx context.Context, m incident.Manager) error {
		f := incident.ParkedFilter{OrganizationID: "acme"}
		change(&f)
		_, err := m.Parked(ctx, f)
		return err
	}
}

func remind(change func(*incident.Reminder)) func(context.Context, incident.Manager) error {
	return func(ctx context.Context, m incident.Manager) error {
		r := incident.Reminder{Name: "escalate", At: tomorrow()}
		change(&r)
		return m.Remind(ctx, key, r)
	}
}

func many[T ~string](n int) []T {
	ids := make([]T, n)
	for i := range ids {
		ids[i] = T("id" + strconv.Itoa(i))
	}
	return ids
}

// keyCalls returns all calls that name an incident, valid except for the key.
func keyCalls(key incident.Key) map[string]func(context.Context, incident.Manager) error {
	type call = func(ctx context.Context, m incident.Manager) error
	return map[string]call{
		"Get":         func(ctx context.Context, m incident.Manager) error { _, err := m.Get(ctx, key); return err },
		"Details":     func(ctx context.Context, m incident.Manager) error { _, err := m.Details(ctx, key, "ada"); return err },
		"Triggers":    func(ctx context.Context, m incident.Manager) error { _, err := m.Triggers(ctx, key); return err },
		"SeenBy":      func(ctx context.Context, m incident.Manager) error { _, err := m.SeenBy(ctx, key); return err },
		"Subscribers": func(ctx context.Context, m incident.Manager) error { _, err := m.Subscribers(ctx, key); return err },
		"MarkSeen":    func(ctx context.Context, m incident.Manager) error { _, err := m.MarkSeen(ctx, key, "ada"); return err },
		"Subscribe": func(ctx context.Context, m incident.Manager) error {
			_, err := m.Subscribe(ctx, key, "ada")
			return err
		},
		"Unsubscribe": func(ctx context.Context, m incident.Manager) error { return m.Unsubscribe(ctx, key, "ada") },
		"LinkProject": func(ctx context.Context, m incident.Manager) error {
			_, err := m.LinkProject(ctx, key, "new")
			return err
		},
		"UnlinkProject": func(ctx context.Context, m incident.Manager) error {
			_, err := m.UnlinkProject(ctx, key, "new")
			return err
		},
		"Activities": func(ctx context.Context, m incident.Manager) error {
			_, err := m.Activities(ctx, key, incident.ActivityFilter{})
			return err
		},
		"Replay": func(ctx context.Context, m incident.Manager) error {
			_, err := m.Replay(ctx, parkedOf(key))
			return err
		},
		"DiscardParked": func(ctx context.Context, m incident.Manager) error {
			_, err := m.DiscardParked(ctx, parkedOf(key))
			return err
		},
		"Remind": func(ctx context.Context, m incident.Manager) error {
			return m.Remind(ctx, key, incident.Reminder{Name: "escalate", At: tomorrow()})
		},
		"CancelReminder": func(ctx context.Context, m incident.Manager) error { return m.CancelReminder(ctx, key, "escalate") },
		"Reminders":      func(ctx context.Context, m incident.Manager) error { _, err := m.Reminders(ctx, key); return err },
		"UpdateStatus": func(ctx context.Context, m incident.Manager) error {
			_, err := m.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusClosed})
			return err
		},
		"Acknowledge": func(ctx context.Context, m incident.Manager) error {
			_, err := m.Acknowledge(ctx, key, incident.Acknowledgement{UserID: "ada"})
			return err
		},
		"Assign": func(ctx context.Context, m incident.Manager) error {
			_, err := m.Assign(ctx, key, incident.Assignment{Assignee: "ada"})
			return err
		},
		"Edit": func(ctx context.Context, m incident.Manager) error {
			_, err := m.Edit(ctx, key, incident.Edit{Title: "Other"})
			return err
		},
		"MarkDuplicate": func(ctx context.Context, m incident.Manager) error {
			_, err := m.MarkDuplicate(ctx, key, incident.Duplicate{Of: 1})
			return err
		},
		"UpdateStatusAll": func(ctx context.Context, m incident.Manager) error {
			all, err := m.UpdateStatusAll(ctx, []incident.Key{key}, incident.StatusUpdate{Status: incident.StatusClosed})
			return firstError(all, err)
		},
		"AcknowledgeAll": func(ctx context.Context, m incident.Manager) error {
			all, err := m.AcknowledgeAll(ctx, []incident.Key{key}, incident.Acknowledgement{UserID: "ada"})
			return firstError(all, err)
		},
		"Comment": func(ctx context.Context, m incident.Manager) error {
			_, err := m.Comment(ctx, key, incident.NewComment{UserID: "ada", Comment: "x"})
			return err
		},
		"EditComment": func(ctx context.Context, m incident.Manager) error {
			_, err := m.EditComment(ctx, key, incident.CommentEdit{Sequence: 3, UserID: "ada", Comment: "x"})
			return err
		},
		"DeleteComment": func(ctx context.Context, m incident.Manager) error {
			_, err := m.DeleteComment(ctx, key, incident.CommentEdit{Sequence: 3, UserID: "ada"})
			return err
		},
	}
}

// slotCalls returns all calls that do not name an incident.
func slotCalls() map[string]func(context.Context, incident.Manager) error {
	return map[string]func(context.Context, incident.Manager) error{
		"Create": create(func(*incident.NewIncident) {}),
		"List":   list(func(*incident.IncidentFilter) {}),
		"Fire":   fire(func(*incident.Firing) {}),
		"Active": func(ctx context.Context, m incident.Manager) error { _, _, err := m.Active(ctx, slot); return err },
		"Resolve": func(ctx context.Context, m incident.Manager) error {
			_, err := m.Resolve(ctx, incident.Resolution{Slot: slot, TriggerID: "5%"})
			return err
		},
		"InTx": func(ctx context.Context, m incident.Manager) error {
			return m.InTx(ctx, func(incident.Manager) error { return nil })
		},
		"Parked": parked(func(*incident.ParkedFilter) {}),
		"Discard": func(ctx context.Context, m incident.Manager) error {
			_, err := m.Discard(ctx, "a notifier of the past")
			return err
		},
		"Purge": func(ctx context.Context, m incident.Manager) error {
			_, err := m.Purge(ctx, incident.Purge{OrganizationID: "acme", ClosedBefore: now})
			return err
		},
		"EraseUser": func(ctx context.Context, m incident.Manager) error {
			_, err := m.EraseUser(ctx, incident.Erasure{OrganizationID: "acme", UserID: "ada"})
			return err
		},
		"DeleteOrganization": func(ctx context.Context, m incident.Manager) error {
			_, err := m.DeleteOrganization(ctx, "acme")
			return err
		},
		"Organizations": func(ctx context.Context, m incident.Manager) error {
			_, err := m.Organizations(ctx, "", 1)
			return err
		},
		"Count": func(ctx context.Context, m incident.Manager) error {
			_, err := m.Count(ctx, incident.IncidentFilter{OrganizationID: "acme"})
			return err
		},
		"Report": func(ctx context.Context, m incident.Manager) error {
			_, err := m.Report(ctx, reportFilter())
			return err
		},
	}
}

// tomorrow returns a time that is in the future by every clock of the tests.
func tomorrow() time.Time {
	at := time.Now()
	if at.Before(now) {
		at = now
	}
	return at.Add(24 * time.Hour)
}

// firstError returns the error of a call for many, or of its first incident.
func firstError(results []incident.BulkResult, err error) error {
	if err == nil && len(results) > 0 {
		err = results[0].Err
	}
	return err
}

func second[T any](_ T, err error) error { return err }

// parkedOf selects the parked notifications of an incident.
func parkedOf(key incident.Key) incident.ParkedSelection {
	return incident.ParkedSelection{OrganizationID: key.OrganizationID, Identifier: key.Identifier}
}
