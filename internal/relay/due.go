package relay

import "maps"

// due records the tenants that may have something due. Without it, a relay would claim in vain
// each time a permit is freed.
//
//   - A tenant that got all that a claim allowed may have more.
//   - A tenant that got less has no more.
//   - After something was queued, or when the alarm rings, every tenant may have something. The
//     claims of a lap, from the first tenant to the last, find out.
type due struct {
	tenants   map[Tenant]bool // they may have more
	isUnknown bool            // tenants that are not listed may have something
	isUrgent  bool            // this process has queued something
	isLap     bool            // a lap is in progress, and nothing was queued since it began
}

// knownDue bounds the list of tenants.
const knownDue = 4096

func newDue() due { return due{tenants: map[Tenant]bool{}, isUnknown: true} }

// setUnknown records that every tenant may have something due. The next lap is urgent if this
// process has queued something.
func (d *due) setUnknown(isUrgent bool) {
	d.isUnknown, d.isLap = true, false
	d.isUrgent = d.isUrgent || isUrgent
}

// isPrompt reports whether the next claim, behind a tenant, must not wait for freed permits: it
// continues a lap, or begins an urgent lap.
func (d *due) isPrompt(after Tenant) bool { return d.isUnknown && (after != "" || d.isUrgent) }

// add records that a tenant may have something due.
func (d *due) add(name Tenant) {
	d.tenants[name] = true
	if len(d.tenants) > knownDue {
		clear(d.tenants)
		d.setUnknown(false)
	}
}

// mayBe reports whether something may be due.
func (d *due) mayBe() bool { return d.isUnknown || len(d.tenants) > 0 }

// isFor reports whether a tenant that may have something due gets a permit.
func (d *due) isFor(a *allotment) bool {
	if d.isUnknown {
		return true
	}
	excluded := a.excluded()
	for name := range d.tenants {
		if !excluded[name] {
			return true
		}
	}
	return false
}

// begin records that a claim starts behind a tenant, or with the first if after is empty.
func (d *due) begin(after Tenant) {
	if after == "" {
		d.isLap = d.isUnknown
	}
}

// end records the answer to a claim, with the number of queues by tenant. The claim has read
// the tenants behind after, up to until if that is not empty.
func (d *due) end(a *allotment, by map[Tenant]int, after, until Tenant) {
	excluded := a.excluded()
	maps.DeleteFunc(d.tenants, func(name Tenant, _ bool) bool {
		return !excluded[name] && name > after && (until == "" || name <= until)
	})
	if d.isUnknown {
		for _, name := range a.except {
			d.tenants[name] = true
		}
	}
	if until == "" && d.isLap {
		d.isUnknown, d.isUrgent, d.isLap = false, false, false
	}
	for name, n := range by {
		if n == a.of(name) || name == until {
			d.add(name)
		}
	}
}
