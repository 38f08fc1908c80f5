package incident

import "maps"

// due records which organizations may have notifications that are due. Without it a relay
// would claim in vain each time a place is freed.
//
//   - An organization that received all that a claim allowed it may have more.
//   - An organization that received less has no more.
//   - After something was queued or a delay has ended, every organization may have some.
//     The claims of one lap, from the first organization to the last, find out.
type due struct {
	organizations map[OrganizationID]bool // may have more
	isUnknown     bool                    // organizations that are not listed may have some
	isLap         bool                    // a lap is in progress, and nothing was queued since it began
}

// knownDue bounds the list of organizations.
const knownDue = 4096

func newDue() due { return due{organizations: map[OrganizationID]bool{}, isUnknown: true} }

// setUnknown records that every organization may have something due.
func (d *due) setUnknown() { d.isUnknown, d.isLap = true, false }

// add records that an organization may have something due.
func (d *due) add(org OrganizationID) {
	d.organizations[org] = true
	if len(d.organizations) > knownDue {
		clear(d.organizations)
		d.setUnknown()
	}
}

// mayBe reports whether something may be due.
func (d *due) mayBe() bool { return d.isUnknown || len(d.organizations) > 0 }

// isFor reports whether an organization that may have something due gets a place.
func (d *due) isFor(a *allotment) bool {
	if d.isUnknown {
		return true
	}
	left := a.excluded()
	for org := range d.organizations {
		if !left[org] {
			return true
		}
	}
	return false
}

// begin records that a claim starts behind an organization.
func (d *due) begin(after OrganizationID) {
	if after == "" {
		d.isLap = d.isUnknown
	}
}

// end records the answer to a claim, which lists the number of claims by organization. The
// claim has read the organizations behind after, up to until if that is not empty.
func (d *due) end(a *allotment, by map[OrganizationID]int, after, until OrganizationID) {
	left := a.excluded()
	maps.DeleteFunc(d.organizations, func(org OrganizationID, _ bool) bool {
		return !left[org] && org > after && (until == "" || org <= until)
	})
	if d.isUnknown {
		for _, org := range a.except {
			d.organizations[org] = true
		}
	}
	if until == "" && d.isLap {
		d.isUnknown, d.isLap = false, false
	}
	for org, n := range by {
		if n == a.of(org) || org == until {
			d.add(org)
		}
	}
}
