package incident

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// An entry keeps its version and value on the way into the cache and back.
func TestCache_keepsEntries(t *testing.T) {
	c := NewCache(10)
	put := CacheEntry{Version: 2, value: &slotHolder{Identifier: 2}}
	c.Put(t.Context(), "k", put, time.Hour)
	if e, ok := c.Get(t.Context(), "k"); !ok || e != put {
		t.Errorf("Get = %+v, %t, want %+v", e, ok, put)
	}
	if e, ok := c.Get(t.Context(), "other"); ok || e != (CacheEntry{}) {
		t.Errorf("Get of an unknown key = %+v, %t", e, ok)
	}
}

func TestCacheEntry_binaryForm(t *testing.T) {
	closed := ruleEpoch.Add(time.Hour + 123456*time.Microsecond)
	for name, e := range map[string]CacheEntry{
		"unknown": {Version: 7},
		"free":    {Version: 3, value: &slotHolder{}},
		"held":    {Version: 4, value: &slotHolder{Identifier: 42}},
		"state": {Version: 2, value: &State{
			Incident: Incident{
				OrganizationID: "acme", Identifier: 42, Title: "50% of \"checkout\" \\ is down\n😀", Type: TypeAlertTriggered,
				Status: StatusClosed, StatusMethod: StatusMethodRuleTriggered, AlertRuleID: "rule", QueryID: "query",
				DetectionUUID: [16]byte{1, 2, 3}, Projects: []ProjectID{"a", "b"},
				DateStarted: ruleEpoch, DateDetected: ruleEpoch, DateAdded: ruleEpoch, DateClosed: &closed, Version: 2,
			},
			Triggers: []Trigger{{
				Incident: Key{"acme", 42}, TriggerID: "5%", Status: TriggerStatusResolved, Severity: StatusCritical,
				DateAdded: ruleEpoch, DateModified: closed,
			}},
		}},
		"operated": {Version: 5, value: &State{Incident: Incident{
			OrganizationID: "acme", Identifier: 42, Title: "Down", Projects: []ProjectID{}, Version: 5,
			DateStarted: ruleEpoch, DateDetected: ruleEpoch, DateAdded: ruleEpoch,
			Response: &Response{
				Assignee: "grace", AcknowledgedBy: "ada", DateAcknowledged: &closed, AcknowledgedUntil: &closed,
				AcknowledgedStatus: StatusCritical,
			},
			Labels: map[string]string{"é\n": "\"\\"}, Annotations: map[string]string{"a": "b"}, DuplicateOf: 1 << 60,
		}}},
	} {
		data, err := e.MarshalBinary()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var back CacheEntry
		if err := back.UnmarshalBinary(data); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(e, back) {
			t.Errorf("%s comes back as %+v from %s", name, back, data)
		}
	}
	var e CacheEntry
	for _, bad := range []string{"", "{", `{"state":{},"slot":{}}`, `{"version":"x"}`} {
		if err := e.UnmarshalBinary([]byte(bad)); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

// Incidents and slots have different keys, and every key begins with its organization.
func TestCacheKey_isUnique(t *testing.T) {
	id := rapid.StringOfN(rapid.SampledFrom([]rune("a1:si|")), 0, 4, -1)
	number := rapid.Int64Range(1, 12)
	rapid.Check(t, func(t *rapid.T) {
		seen := map[string]any{}
		for range rapid.IntRange(2, 40).Draw(t, "n") {
			org := OrganizationID(id.Draw(t, "org"))
			var thing any
			var k string
			if rapid.Bool().Draw(t, "slot") {
				s := Slot{org, AlertRuleID(id.Draw(t, "rule")), ProjectID(id.Draw(t, "project")), QueryID(id.Draw(t, "query"))}
				thing, k = s, s.cacheKey()
			} else {
				i := Key{org, number.Draw(t, "identifier")}
				thing, k = i, i.cacheKey()
			}
			if other, ok := seen[k]; ok && other != thing {
				t.Fatalf("%q is the key of %+v and of %+v", k, thing, other)
			}
			seen[k] = thing
			if !strings.HasPrefix(k, fmt.Sprintf("%d:%s", len(org), org)) {
				t.Fatalf("the key of %+v does not begin with its organization: %q", thing, k)
			}
		}
	})
}
