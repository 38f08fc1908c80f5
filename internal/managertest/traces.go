package managertest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident"
)

// The names of the organizations and users of [Traces]. None is a part of another text.
const (
	tracedOrg  incident.OrganizationID = "org-8f41c7"
	besideOrg  incident.OrganizationID = "org-2b90ad"
	tracedUser incident.UserID         = "user-5de3b1"
	namesake   incident.UserID         = "user-c06f28"
)

// ErasableStore is a store that can erase, with an outbox.
type ErasableStore interface {
	incident.RetentionStore
	incident.OutboxStore
}

// Places counts where a text was found in a store, for example by table and column.
type Places map[string]int

// Traced is a kind of store for [Traces].
type Traced struct {
	// Open returns an empty store.
	Open func(t *testing.T) ErasableStore

	// Find returns the places of a text in everything that the store keeps.
	Find func(t *testing.T, s ErasableStore, text string) Places

	// Least is the least number of places in which the store keeps the ID of a user.
	Least int

	// Kept are the places in which the store keeps the ID of a deleted organization, and
	// KeptPurged those of an organization whose incidents were purged.
	Kept, KeptPurged Places
}

// Traces checks that a store keeps nothing of a user who was erased, and nothing of an
// organization that was deleted, and that the same names in another organization stay. The
// organizations have everything that the calls of a Manager can write.
func Traces(t *testing.T, k Traced) {
	for name, as := range map[string]incident.UserID{"as another": "user-000000", "as a present user": namesake, "as nobody": ""} {
		t.Run("a user erased "+name, func(t *testing.T) { k.eraseUser(t, as) })
	}
	t.Run("a deleted organization", k.deleteOrganization)
	t.Run("purged incidents", k.purge)
}

// marked is a store with two organizations that have the same users.
type marked struct {
	Traced
	store   ErasableStore
	manager incident.Manager
	alone   Places            // of the user, when besideOrg was the only organization
	beside  map[string]string // everything of besideOrg
}

func (k Traced) mark(t *testing.T) *marked {
	t.Helper()
	s := k.Open(t)
	m, err := incident.New(s, &incident.Options{Notifier: incident.NotifyElsewhere, Notifiers: map[string]incident.NamedNotifier{
		"pager": {Notifier: incident.NotifyElsewhere},
	}})
	if err != nil {
		t.Fatal(err)
	}
	w := &marked{Traced: k, store: s, manager: m}
	if err := leaveTraces(t.Context(), m, s, besideOrg); err != nil {
		t.Fatal(err)
	}
	w.alone = k.Find(t, s, string(tracedUser))
	if len(w.alone) < k.Least {
		t.Fatalf("a user is in %d places of the store, want at least %d: %v", len(w.alone), k.Least, w.alone)
	}
	if err := leaveTraces(t.Context(), m, s, tracedOrg); err != nil {
		t.Fatal(err)
	}
	if both := k.Find(t, s, string(tracedUser)); maps.Equal(both, w.alone) {
		t.Fatalf("a user of two organizations is in the places of one: %v", both)
	}
	w.beside = w.everything(t, besideOrg)
	return w
}

func (k Traced) eraseUser(t *testing.T, as incident.UserID) {
	w := k.mark(t)
	e := incident.Erasure{OrganizationID: tracedOrg, UserID: tracedUser, As: as}
	changed, err := w.retention(t).EraseUser(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	if changed == 0 {
		t.Error("no incident was changed")
	}
	w.checkUser(t)
	for read, text := range w.everything(t, tracedOrg) {
		if strings.Contains(text, string(tracedUser)) {
			t.Errorf("%s still names the user: %s", read, text)
		}
	}
	page, err := w.manager.List(t.Context(), incident.IncidentFilter{OrganizationID: tracedOrg, Assignee: tracedUser})
	if err != nil || len(page.Incidents) > 0 {
		t.Errorf("%d incidents are assigned to the erased user, error %v", len(page.Incidents), err)
	}
	before := w.everything(t, tracedOrg)
	changed, err = w.retention(t).EraseUser(t.Context(), e)
	if after := w.everything(t, tracedOrg); err != nil || changed > 0 || !maps.Equal(before, after) {
		t.Errorf("a repetition changed %d incidents, error %v", changed, err)
	}
	w.checkBeside(t)
}

func (k Traced) deleteOrganization(t *testing.T) {
	w := k.mark(t)
	deleted, err := w.retention(t).DeleteOrganization(t.Context(), tracedOrg)
	if err != nil || deleted != tracedIncidents {
		t.Fatalf("%d incidents were deleted, want %d, error %v", deleted, tracedIncidents, err)
	}
	w.checkUser(t)
	if left := k.Find(t, w.store, string(tracedOrg)); !maps.Equal(left, k.Kept) {
		t.Errorf("the organization is in the places %v, want %v", left, k.Kept)
	}
	w.checkBeside(t)
	r, err := w.manager.Create(t.Context(), incident.NewIncident{OrganizationID: tracedOrg, Title: "Again"})
	if err != nil || r.Identifier != tracedIncidents+1 {
		t.Errorf("the next incident is %d, want %d, error %v", r.Identifier, tracedIncidents+1, err)
	}
}

// purge closes and purges all incidents of an organization.
func (k Traced) purge(t *testing.T) {
	w := k.mark(t)
	for _, inc := range w.incidents(t, tracedOrg) {
		if _, err := w.manager.UpdateStatus(t.Context(), inc.Key(), incident.StatusUpdate{Status: incident.StatusClosed}); err != nil {
			t.Fatal(err)
		}
	}
	for _, notifier := range []string{"", "pager"} {
		if err := deliverAll(t.Context(), w.store, notifier, tracedOrg); err != nil {
			t.Fatal(err)
		}
	}
	var last time.Time
	for _, inc := range w.incidents(t, tracedOrg) {
		last = slices.MaxFunc([]time.Time{last, *inc.DateClosed}, time.Time.Compare)
	}
	q := incident.Purge{OrganizationID: tracedOrg, ClosedBefore: last.Add(time.Microsecond)}
	p, err := w.retention(t).Purge(t.Context(), q)
	if want := (incident.Purged{Incidents: tracedIncidents}); err != nil || p != want {
		t.Fatalf("Purge returned %+v, want %+v, error %v", p, want, err)
	}
	w.checkUser(t)
	if left := k.Find(t, w.store, string(tracedOrg)); !maps.Equal(left, k.KeptPurged) {
		t.Errorf("the organization is in the places %v, want %v", left, k.KeptPurged)
	}
	if left := w.incidents(t, tracedOrg); len(left) > 0 {
		t.Errorf("%d incidents are listed", len(left))
	}
	w.checkBeside(t)
}

// checkUser checks that the user's ID is in no other place than before tracedOrg was filled.
func (w *marked) checkUser(t *testing.T) {
	t.Helper()
	if left := w.Find(t, w.store, string(tracedUser)); !maps.Equal(left, w.alone) {
		t.Errorf("the user is in the places %v, want those of the other organization %v", left, w.alone)
	}
}

// checkBeside checks that the other organization is as it was.
func (w *marked) checkBeside(t *testing.T) {
	t.Helper()
	after := w.everything(t, besideOrg)
	if maps.Equal(after, w.beside) {
		return
	}
	for read, text := range w.beside {
		if after[read] != text {
			t.Errorf("of the other organization, %s was\n%s\nand is\n%s", read, text, after[read])
		}
	}
}

func (w *marked) retention(t *testing.T) incident.RetentionManager {
	t.Helper()
	r, ok := w.manager.(incident.RetentionManager)
	if !ok {
		t.Fatal("the Manager deletes nothing")
	}
	return r
}

func (w *marked) incidents(t *testing.T, org incident.OrganizationID) []incident.Incident {
	t.Helper()
	all, err := allIncidents(t.Context(), w.manager, incident.IncidentFilter{OrganizationID: org, Limit: incident.MaxPageSize})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// everything returns the answers of all reads of an organization.
func (w *marked) everything(t *testing.T, org incident.OrganizationID) map[string]string {
	t.Helper()
	ctx, all := t.Context(), map[string]string{}
	add := func(name string, answer any, err error) {
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[name] = describe(answer)
	}
	list, err := w.manager.List(ctx, incident.IncidentFilter{OrganizationID: org, Limit: incident.MaxPageSize})
	add("List", list.Incidents, err)
	for _, notifier := range []string{"", "pager"} {
		parked, err := w.manager.Parked(ctx, incident.ParkedFilter{OrganizationID: org, Notifier: notifier})
		add("Parked of "+notifier, parked.Notifications, err)
	}
	for _, inc := range list.Incidents {
		of := func(read string) string { return fmt.Sprintf("%s of %s", read, inc.Key()) }
		got, err := w.manager.Get(ctx, inc.Key())
		add(of("Get"), got, err)
		details, err := w.manager.Details(ctx, inc.Key(), tracedUser)
		add(of("Details"), details, err)
		log, err := allActivities(ctx, w.manager, inc.Key(), incident.ActivityFilter{Limit: incident.MaxPageSize})
		add(of("Activities"), log, err)
		subscribers, err := w.manager.Subscribers(ctx, inc.Key())
		add(of("Subscribers"), subscribers, err)
		reminders, err := w.manager.Reminders(ctx, inc.Key())
		add(of("Reminders"), reminders, err)
	}
	return all
}
