package relay

import "testing"

// A tenant that got all that it was allowed may have more, and a tenant that got less has no
// more.
func TestDue_remembersTenants(t *testing.T) {
	d := newDue()
	d.begin("")
	d.end(&allotment{allowances: map[Tenant]int{"a": 2, "b": 2}}, map[Tenant]int{"a": 2, "b": 1}, "", "")
	if !d.mayBe() || d.tenants["b"] || !d.isFor(&allotment{}) || d.isFor(&allotment{except: []Tenant{"a"}}) {
		t.Errorf("after a lap %+v may have something due, want a alone", d)
	}
	d.end(&allotment{}, nil, "b", "")
	if !d.mayBe() {
		t.Error("a claim behind a tenant shows that it has nothing due")
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
	d.end(&allotment{limit: 1}, map[Tenant]int{"m": 1}, "", "m")
	d.setUnknown(true)
	d.begin("m")
	d.end(&allotment{except: []Tenant{"z"}}, nil, "m", "")
	if !d.isUnknown {
		t.Error("something was queued during the lap, and no other lap follows")
	}
	d.begin("")
	d.end(&allotment{except: []Tenant{"z"}}, nil, "", "")
	if d.isUnknown || !d.tenants["z"] {
		t.Errorf("after the lap %+v may have something due, want z, which was left out", d)
	}
}

// The list is bounded. Beyond the bound, every tenant may have something due.
func TestDue_isBounded(t *testing.T) {
	d := newDue()
	d.begin("")
	d.end(&allotment{}, nil, "", "")
	for i := range knownDue + 1 {
		d.add(Tenant(rune(i + 1)))
	}
	if !d.isUnknown || len(d.tenants) > knownDue {
		t.Errorf("%d tenants are listed, others: %t", len(d.tenants), d.isUnknown)
	}
}
