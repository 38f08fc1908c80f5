package memory

import (
	"testing"

	"github.com/incidentkit/incident"
)

// Rules whose IDs have the same hash are told apart, whichever of them is removed first.
func TestRuleIndex_equalHashes(t *testing.T) {
	const hash = 7
	ids := []incident.AlertRuleID{"a", "b", "c"}
	for _, removed := range ids {
		x := newRuleIndex()
		added := map[incident.AlertRuleID]*rule{}
		for _, id := range ids {
			if found := x.findHashed(id, hash); found != nil {
				t.Fatalf("rule %q is %q before it was added", id, found.id)
			}
			added[id] = x.add(id, hash)
		}
		x.remove(removed, hash)
		for _, id := range ids {
			want := added[id]
			if id == removed {
				want = nil
			}
			if found := x.findHashed(id, hash); found != want {
				t.Errorf("without %q, rule %q is %+v, want %+v", removed, id, found, want)
			}
		}
		again := x.add(removed, hash)
		if found := x.findHashed(removed, hash); found != again {
			t.Errorf("rule %q is %+v after it was added again", removed, found)
		}
		for _, id := range ids {
			x.remove(id, hash)
		}
		if len(x.byHash) != 0 {
			t.Errorf("%d hashes are left of no rules", len(x.byHash))
		}
	}
}

// The rules stay where they are while the index grows, since writers keep a pointer to the latest.
func TestRuleIndex_grows(t *testing.T) {
	x := newRuleIndex()
	const n = 3000
	ids, added := make([]incident.AlertRuleID, n), make([]*rule, n)
	for i := range n {
		ids[i] = incident.AlertRuleID(string(rune('a'+i%26)) + string(rune(0x4e00+i)))
		added[i] = x.add(ids[i], x.hash(ids[i]))
	}
	for i, id := range ids {
		if found := x.find(id); found != added[i] {
			t.Fatalf("rule %d of %d is %+v, want %+v", i, n, found, added[i])
		}
	}
	if found := x.find("missing"); found != nil {
		t.Errorf("a missing rule is %q", found.id)
	}
}
