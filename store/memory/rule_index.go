package memory

import (
	"hash/maphash"

	"github.com/incidentkit/incident"
)

// ruleIndex finds rules by ID. Its map has the hashes of the IDs, and no pointers: a map of strings
// would read each ID again when it grows, while all other calls wait.
type ruleIndex struct {
	seed   maphash.Seed
	byHash map[uint64]int // number of the first rule with the hash; rule.next has the others
	rules  segments[rule] // rule n at index n-1
}

func newRuleIndex() ruleIndex {
	return ruleIndex{seed: maphash.MakeSeed(), byHash: map[uint64]int{}}
}

func (x *ruleIndex) hash(id incident.AlertRuleID) uint64 { return maphash.String(x.seed, string(id)) }

// find returns the rule, or nil if it is missing.
func (x *ruleIndex) find(id incident.AlertRuleID) *rule { return x.findHashed(id, x.hash(id)) }

func (x *ruleIndex) findHashed(id incident.AlertRuleID, hash uint64) *rule {
	for n := x.byHash[hash]; n != 0; {
		r := x.rules.at(n - 1)
		if r.id == id {
			return r
		}
		n = r.next
	}
	return nil
}

// add adds a rule, which must be missing.
func (x *ruleIndex) add(id incident.AlertRuleID, hash uint64) *rule {
	r := x.rules.push()
	r.id, r.next = id, x.byHash[hash]
	x.byHash[hash] = x.rules.length
	return r
}

// remove removes a rule. It must exist.
func (x *ruleIndex) remove(id incident.AlertRuleID, hash uint64) {
	n, before := x.byHash[hash], (*rule)(nil)
	for x.rules.at(n-1).id != id {
		before = x.rules.at(n - 1)
		n = before.next
	}
	switch next := x.rules.at(n - 1).next; {
	case before != nil:
		before.next = next
	case next != 0:
		x.byHash[hash] = next
	default:
		delete(x.byHash, hash)
	}
	x.rules.remove(n - 1)
}
