package incident

import "testing"

// An organization that received all that it was allowed may have more, and an organization
// that received less has no more.
func TestDue_remembersOrganizations(t *testing.T) {
	d := newDue()
	d.begin("")
	d.end(&allotment{allowances: map[OrganizationID]int{"a": 2, "b": 2}}, map[OrganizationID]int{"a": 2, "b": 1}, "", "")
	if !d.mayBe() || d.organizations["b"] || !d.isFor(&allotment{}) || d.isFor(&allotment{except: []OrganizationID{"a"}}) {
		t.Errorf("after a lap %+v may have something due, want a alone", d)
	}
	d.end(&allotment{}, nil, "b", "")
	if !d.mayBe() {
		t.Error("a claim behind an organization shows that it has nothing due")
	}
	d.end(&allotment{}, nil, "", "")
	if d.mayBe() {
		t.Errorf("after a claim in vain %+v may have something due", d)
	}
}

// After something was queued, a whole lap shows that nothing is due.
func TestDue_makesWholeLaps(t *testing.T) {
	d := newDue()
	d.begin("")
	d.end(&allotment{limit: 1}, map[OrganizationID]int{"m": 1}, "", "m")
	d.setUnknown()
	d.begin("m")
	d.end(&allotment{except: []OrganizationID{"z"}}, nil, "m", "")
	if !d.isUnknown {
		t.Error("something was queued during the lap, and no other lap follows")
	}
	d.begin("")
	d.end(&allotment{except: []OrganizationID{"z"}}, nil, "", "")
	if d.isUnknown || !d.organizations["z"] {
		t.Errorf("after the lap %+v may have something due, want z, which was left out", d)
	}
}

// The list is bounded. After that every organization may have something due.
func TestDue_isBounded(t *testing.T) {
	d := newDue()
	d.begin("")
	d.end(&allotment{}, nil, "", "")
	for i := range knownDue + 1 {
		d.add(OrganizationID(rune(i + 1)))
	}
	if !d.isUnknown || len(d.organizations) > knownDue {
		t.Errorf("%d organizations are listed, others: %t", len(d.organizations), d.isUnknown)
	}
}
