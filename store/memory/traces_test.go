package memory_test

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// findTraces returns the paths of all strings that are reachable from root and contain the text. It
// looks into the spare capacity of slices too, and cannot look into closures.
func findTraces(root any, text string) (paths []string) {
	type place struct {
		value reflect.Value
		path  string
	}
	type visit struct {
		at  uintptr
		len int
		typ reflect.Type
	}
	visited := map[visit]bool{}
	isNew := func(v reflect.Value, n int) bool {
		key := visit{v.Pointer(), n, v.Type()}
		known := visited[key]
		visited[key] = true
		return !known
	}
	stack := []place{{reflect.ValueOf(root), "root"}}
	for len(stack) > 0 {
		v, path := stack[len(stack)-1].value, stack[len(stack)-1].path
		stack = stack[:len(stack)-1]
		push := func(v reflect.Value, suffix string) { stack = append(stack, place{v, path + suffix}) }
		switch v.Kind() {
		case reflect.String:
			if strings.Contains(v.String(), text) {
				paths = append(paths, path)
			}
		case reflect.Pointer, reflect.Interface:
			if !v.IsNil() && (v.Kind() == reflect.Interface || isNew(v, 0)) {
				push(v.Elem(), "")
			}
		case reflect.Struct:
			for i := range v.NumField() {
				push(v.Field(i), "."+v.Type().Field(i).Name)
			}
		case reflect.Array:
			for i := range v.Len() {
				push(v.Index(i), fmt.Sprintf("[%d]", i))
			}
		case reflect.Slice:
			if v.Cap() == 0 || !isNew(v, v.Cap()) {
				continue
			}
			for full, i := v.Slice(0, v.Cap()), 0; i < full.Len(); i++ {
				push(full.Index(i), fmt.Sprintf("[%d]", i))
			}
		case reflect.Map:
			for it := v.MapRange(); it.Next(); {
				push(it.Key(), ".key")
				push(it.Value(), fmt.Sprintf("[%v]", it.Key()))
			}
		}
	}
	return paths
}

// mustLeaveTraces creates incidents that name a user everywhere, also in memory that the store no
// longer uses: in arrays that have grown, undone writes, former assignments and former queues.
func mustLeaveTraces(t *testing.T, s *memory.Store, org incident.OrganizationID, user incident.UserID, n int) {
	t.Helper()
	name := string(user)
	for i := range n {
		inc := mustOpen(t, s, org, time.Date(2026, 3, 14, 0, i, 0, 0, time.UTC))
		key := inc.Key()
		mustDo(t, s.InTx(t.Context(), func(tx incident.Store) error {
			mustAssign(t, tx, key, user, 5)
			return errUndone
		}), errUndone)
		for range i % 9 {
			mustAssign(t, s, key, user, 1)
		}
		for j := range i % 4 {
			for _, who := range []incident.UserID{user, incident.UserID(fmt.Sprint("user ", j))} {
				_, err := s.MarkSeen(t.Context(), incident.Seen{Incident: key, UserID: who, LastSeen: inc.DateStarted})
				mustDo(t, err, nil)
				_, err = s.Subscribe(t.Context(), incident.Subscription{Incident: key, UserID: who, DateAdded: inc.DateStarted})
				mustDo(t, err, nil)
			}
		}
		if i%3 == 0 {
			st, err := s.Load(t.Context(), key)
			mustDo(t, err, nil)
			mustClose(t, s, st.Incident)
		}
	}
	for len(mustClaim(t, s, incident.ClaimQuery{Limit: 1, PerOrganization: 1, Lease: time.Hour})) > 0 {
	}
	key := mustEnqueue(t, s, org, 0, n)
	for range n {
		c := mustClaim(t, s, incident.ClaimQuery{Limit: 1, PerOrganization: 1, Lease: time.Hour})[0]
		mustSettle(t, s, incident.Settlement{Ticket: c.Ticket, Outcome: incident.OutcomePark, Error: "no address of " + name})
	}
	_, err := s.Replay(t.Context(), incident.ParkedQuery{OrganizationID: org, Identifier: key.Identifier, Limit: n / 2})
	mustDo(t, err, nil)
	mustRemind(t, s, key, "reminder of "+string(org), time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
}

var errUndone = fmt.Errorf("undone")

func mustDo(t *testing.T, got, want error) {
	t.Helper()
	if got != want {
		t.Fatalf("a call = %v, want %v", got, want)
	}
}

// mustAssign assigns the incident to the user and adds activities of the user.
func mustAssign(t *testing.T, s incident.Store, key incident.Key, user incident.UserID, activities int) {
	t.Helper()
	st, err := s.Load(t.Context(), key)
	mustDo(t, err, nil)
	inc := st.Incident.Clone()
	inc.Response = &incident.Response{Assignee: user, AcknowledgedBy: user, DateAcknowledged: &inc.DateStarted}
	inc.Version++
	c := incident.Change{Key: key, Incident: &inc, ExpectVersion: st.Incident.Version}
	for range activities {
		c.Activities = append(c.Activities, incident.Activity{
			Type: incident.ActivityTypeAssigned, UserID: user, Field: "assignee", Old: string(user), New: string(user), NotificationUUID: uuid.New(),
		})
	}
	c.Notify = []incident.NotifyTarget{{}}
	_, err = s.Apply(t.Context(), c)
	mustDo(t, err, nil)
}

func mustEraseAll(t *testing.T, s *memory.Store, q incident.EraseQuery) {
	t.Helper()
	for more := true; more; {
		b, err := s.EraseUser(t.Context(), q)
		mustDo(t, err, nil)
		q.After, more = b.Next, b.Next != 0
	}
}

// The walk finds what it looks for in each kind of memory, so that an empty result has a meaning.
func TestFindTraces_findsEachKind(t *testing.T) {
	type node struct {
		next *node
		text string
	}
	cycle := &node{text: "a secret"}
	cycle.next = cycle
	for name, root := range map[string]any{
		"pointers":       cycle,
		"spare capacity": append([]string(nil), "a", "secret")[:1],
		"a key":          map[string]int{"secret": 1},
		"a value":        map[int]any{1: []any{&node{text: "secrets"}}},
		"an array":       [2]node{{}, {text: "secret"}},
	} {
		if got := findTraces(root, "secret"); len(got) != 1 {
			t.Errorf("findTraces() in %s = %v, want 1 path", name, got)
		}
	}
	s := memory.New()
	mustLeaveTraces(t, s, "acme", "mallory", 20)
	if got := findTraces(s, "mallory"); len(got) < 100 {
		t.Errorf("findTraces() in a store full of traces has %d paths", len(got))
	}
}

func TestStore_EraseUser_leavesNoTrace(t *testing.T) {
	for _, as := range []incident.UserID{"", "nobody"} {
		s := memory.New()
		mustLeaveTraces(t, s, "acme", "mallory", 40)
		q := incident.EraseQuery{OrganizationID: "acme", UserID: "mallory", As: as, Limit: 7}
		mustEraseAll(t, s, q)
		if got := findTraces(s, "mallory"); len(got) > 0 {
			t.Errorf("after EraseUser() as %q there are %d traces: %q", as, len(got), got[:min(len(got), 5)])
		}
	}
}

func TestStore_Purge_leavesNoTrace(t *testing.T) {
	s := memory.New()
	inc := mustOpen(t, s, "acme", time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC))
	mustAssign(t, s, inc.Key(), "mallory", 9)
	_, err := s.Discard(t.Context(), "", math.MaxInt)
	mustDo(t, err, nil)
	st, err := s.Load(t.Context(), inc.Key())
	mustDo(t, err, nil)
	mustClose(t, s, st.Incident)
	b, err := s.Purge(t.Context(), incident.PurgeQuery{OrganizationID: "acme", ClosedBefore: time.Now().AddDate(9, 0, 0), Limit: 9})
	if err != nil || len(b.Purged) != 1 {
		t.Fatalf("Purge() = %+v, %v, want an incident", b, err)
	}
	for _, text := range []string{"mallory", "ada", "core"} {
		if got := findTraces(s, text); len(got) > 0 {
			t.Errorf("after Purge() there are traces of %q: %q", text, got)
		}
	}
}

// Only the ID of a deleted organization remains, since its last identifier is kept under it.
func TestStore_DeleteOrganization_leavesNoTrace(t *testing.T) {
	s := memory.New()
	mustLeaveTraces(t, s, "acme-secret", "mallory", 40)
	mustOpen(t, s, "umbrella", time.Now())
	for done := false; !done; {
		b, err := s.DeleteOrganization(t.Context(), "acme-secret", 7)
		mustDo(t, err, nil)
		done = b.Done
	}
	for _, text := range []string{"mallory", "reminder", "no address"} {
		if got := findTraces(s, text); len(got) > 0 {
			t.Errorf("after DeleteOrganization() there are traces of %q: %q", text, got)
		}
	}
	if got := findTraces(s, "acme-secret"); len(got) != 1 {
		t.Errorf("after DeleteOrganization() there are %d traces of its ID, want 1: %q", len(got), got[:min(len(got), 5)])
	}
}
