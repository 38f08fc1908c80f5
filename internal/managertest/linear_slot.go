package managertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/incidentkit/incident"
)

// Each slot has its own organization, so its incidents have the identifiers 1, 2, 3 … in
// the order in which they were opened. Two triggers fire and resolve. Users close, reopen
// and grade the incidents. Some firings and resolutions are late, and some firings reopen.

type slotOp string

const (
	opFire    slotOp = "Fire"
	opResolve slotOp = "Resolve"
	opHolder  slotOp = "Active"
	opGrade   slotOp = "UpdateStatus"
	opRead    slotOp = "Get"
)

type slotInput struct {
	Org        incident.OrganizationID
	Op         slotOp
	Trigger    int             // of Fire and Resolve
	To         incident.Status // the severity of Fire, the status of UpdateStatus
	Identifier int64           // of UpdateStatus and Get

	// Minute is the date of a late Fire or Resolve, from 1 and before live. 0 for no date.
	Minute int64 `json:",omitzero"`

	// Reopens sets the ReopenWithin of Fire to reopenMinutes.
	Reopens bool `json:",omitzero"`
}

const (
	// live is the date of all events without a date. Late events happened long before.
	live = 60_000

	// reopenMinutes is more than the difference of two late events, and more than the steps of a
	// clock.
	reopenMinutes = 30_000
)

// slotOutput is the result of a call. It is zero if there is no incident.
type slotOutput struct {
	Identifier int64
	Status     incident.Status
	Version    int64
	Changed    bool
	Conflict   int64 // the incident that holds the slot
	NotFound   bool
}

// slotState holds the incidents of a slot in order of identifier. It is immutable.
type slotState struct {
	incidents []slotIncident
	last      int // index of the incident that was the last to be active
}

type slotIncident struct {
	status   incident.Status
	version  int64
	triggers [2]incident.Status // severity of each active trigger, else 0
	known    [2]int64           // date of each trigger, 0 before it has fired
	started  int64
	ended    int64 // if it is closed
	byRule   bool  // its triggers have closed it
}

var slotModel = porcupine.Model{
	Partition: partition(func(in slotInput) incident.OrganizationID { return in.Org }),
	Init:      func() any { return slotState{} },
	Step: func(state, input, output any) (bool, any) {
		next, want := state.(slotState).step(input.(slotInput))
		if _, ok := output.(unknown); ok {
			return true, next
		}
		return want == output.(slotOutput), next
	},
	Equal: func(a, b any) bool {
		return a.(slotState).last == b.(slotState).last && slices.Equal(a.(slotState).incidents, b.(slotState).incidents)
	},
	DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v → %+v", in, out) },
}

// holder returns the index of the active incident, or -1.
func (s slotState) holder() int {
	return slices.IndexFunc(s.incidents, func(inc slotIncident) bool { return inc.status != incident.StatusClosed })
}

func (s slotState) output(i int, changed bool) slotOutput {
	if i < 0 {
		return slotOutput{}
	}
	return slotOutput{Identifier: int64(i) + 1, Status: s.incidents[i].status, Version: s.incidents[i].version, Changed: changed}
}

// with returns the state after incident i became inc. This counts as a change.
func (s slotState) with(i int, inc slotIncident) (slotState, slotOutput) {
	inc.version++
	next := slotState{incidents: slices.Clone(s.incidents), last: s.last}
	if i == len(s.incidents) {
		next.incidents = append(next.incidents, inc)
	}
	next.incidents[i] = inc
	if inc.status != incident.StatusClosed {
		next.last = i
	}
	return next, next.output(i, true)
}

func (s slotState) step(in slotInput) (slotState, slotOutput) {
	i := s.holder()
	switch in.Op {
	case opFire:
		return s.fire(i, in)
	case opResolve:
		return s.resolve(i, in)
	case opHolder:
		return s, s.output(i, false)
	}
	own := int(in.Identifier) - 1
	switch {
	case own >= len(s.incidents):
		return s, slotOutput{NotFound: true}
	case in.Op == opRead, s.incidents[own].status == in.To:
		return s, s.output(own, false)
	case i >= 0 && i != own:
		return s, slotOutput{Conflict: int64(i) + 1}
	}
	inc := s.incidents[own]
	inc.status = in.To
	if in.To == incident.StatusClosed {
		inc.ended, inc.byRule = live, false
		for t, severity := range inc.triggers {
			if severity != 0 {
				inc.triggers[t], inc.known[t] = 0, live
			}
		}
	}
	return s.with(own, inc)
}

// date returns the date of an event, and whether it is older than what the trigger knows.
func (in slotInput) date(inc slotIncident) (minute int64, isOld bool) {
	if in.Minute == 0 {
		return live, false
	}
	return in.Minute, in.Minute < inc.known[in.Trigger]
}

func (s slotState) fire(i int, in slotInput) (slotState, slotOutput) {
	if i < 0 {
		return s.fireInFreeSlot(in)
	}
	inc := s.incidents[i]
	minute, isOld := in.date(inc)
	before := inc.triggers[in.Trigger]
	if before == in.To || isOld {
		return s, s.output(i, false)
	}
	inc.triggers[in.Trigger], inc.known[in.Trigger] = in.To, minute
	if before == 0 {
		inc.started = min(inc.started, minute)
	}
	worst := max(inc.triggers[0], inc.triggers[1])
	if rank[worst] > rank[inc.status] || in.To < before {
		inc.status = worst
	}
	return s.with(i, inc)
}

func (s slotState) fireInFreeSlot(in slotInput) (slotState, slotOutput) {
	minute, _ := in.date(slotIncident{})
	opened := slotIncident{started: minute}
	i := len(s.incidents)
	if i > 0 {
		last := s.incidents[s.last]
		isCovered := last.started <= minute && minute < last.ended
		if _, isOld := in.date(last); in.Minute != 0 && isCovered || isOld {
			return s, s.output(s.last, false)
		}
		if in.Reopens && last.byRule && minute-last.ended < reopenMinutes && last.started-minute < reopenMinutes {
			i, opened = s.last, last
		}
	}
	opened.status = in.To
	opened.triggers[in.Trigger], opened.known[in.Trigger] = in.To, minute
	opened.started = min(opened.started, minute)
	return s.with(i, opened)
}

func (s slotState) resolve(i int, in slotInput) (slotState, slotOutput) {
	if i < 0 || s.incidents[i].triggers[in.Trigger] == 0 {
		return s, s.output(i, false)
	}
	inc := s.incidents[i]
	minute, isOld := in.date(inc)
	if isOld {
		return s, s.output(i, false)
	}
	inc.triggers[in.Trigger], inc.known[in.Trigger] = 0, minute
	worst := max(inc.triggers[0], inc.triggers[1])
	switch {
	case worst == 0:
		inc.status, inc.byRule = incident.StatusClosed, true
		inc.ended = max(inc.started, inc.known[0], inc.known[1])
	case rank[worst] < rank[inc.status]:
		inc.status = worst
	}
	return s.with(i, inc)
}

var (
	slotOrgs = []incident.OrganizationID{"slot1", "slot2", "slot3"}

	// manual has the calls of triggers and users, triggered those of triggers alone. late has
	// many firings that others outdate while they are written.
	manual = slotMix{
		ops:  []slotOp{opFire, opFire, opFire, opResolve, opResolve, opHolder, opHolder, opHolder, opGrade, opGrade, opGrade, opRead},
		orgs: slotOrgs, late: 3, lateResolves: 3, reopens: 2,
	}
	triggered = slotMix{
		ops:  []slotOp{opFire, opFire, opFire, opResolve, opResolve, opResolve, opHolder, opHolder, opHolder, opRead},
		orgs: slotOrgs, late: 3, lateResolves: 3, reopens: 2,
	}
	late = slotMix{
		ops:  []slotOp{opFire, opFire, opResolve, opResolve, opResolve, opResolve},
		orgs: slotOrgs[:1], late: 2, lateResolves: 20, reopens: 9,
	}
)

// slotMix is a mix of calls.
type slotMix struct {
	ops  []slotOp
	orgs []incident.OrganizationID

	// One firing in so many is late, one resolution in so many is late, and one firing in so
	// many may reopen.
	late, lateResolves, reopens int
}

// checkSlots records a history of several slots and checks it. If the mix has only calls of
// triggers, checkSlots also checks the severity rule at the end.
func checkSlots(s labSetup, mix slotMix) error {
	l, err := newLab(s)
	if err != nil {
		return err
	}
	isManual := slices.Contains(mix.ops, opGrade)
	history, err := l.run(func(c *client) error {
		in := slotInput{
			Org:     mix.orgs[c.rng.IntN(len(mix.orgs))],
			Op:      mix.ops[c.rng.IntN(len(mix.ops))],
			Trigger: c.rng.IntN(2),
			To:      severities[c.rng.IntN(2)],
			Reopens: c.rng.IntN(mix.reopens) == 0,
		}
		oneIn := mix.late
		if in.Op == opResolve {
			oneIn = mix.lateResolves
		}
		if c.rng.IntN(oneIn) == 0 {
			in.Minute = c.rng.Int64N(30) + 1
		}
		return l.slot(c, c.aim(in))
	})
	if err != nil {
		return err
	}
	err = errors.Join(
		l.checkHistory("slot", slotModel, history),
		Audit(context.Background(), l.manager, l.store, slotOrgs...),
	)
	if isManual {
		return err
	}
	return errors.Join(err, l.auditTriggered())
}

func (l *lab) auditTriggered() error {
	for _, org := range slotOrgs {
		all, err := allIncidents(context.Background(), l.manager, incident.IncidentFilter{OrganizationID: org, Limit: incident.MaxPageSize})
		if err != nil {
			return err
		}
		for _, inc := range all {
			triggers, err := l.manager.Triggers(context.Background(), inc.Key())
			if err := errors.Join(err, auditTriggered(inc, triggers)); err != nil {
				return err
			}
		}
	}
	return nil
}

// aim draws the incident of a call that names an incident, near the latest that the client
// has seen.
func (c *client) aim(in slotInput) slotInput {
	switch in.Op {
	case opGrade:
		in.To = statuses[c.rng.IntN(len(statuses))]
		fallthrough
	case opRead:
		in.Identifier = max(1, c.lastIdentifier(in.Org)+1-c.rng.Int64N(3))
	}
	return in
}

// lastIdentifier returns the highest identifier among the client's last 20 calls.
func (c *client) lastIdentifier(org incident.OrganizationID) int64 {
	last := int64(1)
	for i := len(c.ops) - 1; i >= max(0, len(c.ops)-20); i-- {
		if out, ok := c.ops[i].Output.(slotOutput); ok && c.ops[i].Input.(slotInput).Org == org {
			last = max(last, out.Identifier, out.Conflict)
		}
	}
	return last
}

func (l *lab) slot(c *client, in slotInput) error {
	slot := incident.Slot{OrganizationID: in.Org, AlertRuleID: "r", ProjectID: "p", QueryID: "q"}
	key := incident.Key{OrganizationID: in.Org, Identifier: in.Identifier}
	trigger := triggerIDs[in.Trigger]
	var date time.Time
	if in.Minute > 0 {
		date = c.base.Add((time.Duration(in.Minute) - live) * time.Minute)
	}
	var within time.Duration
	if in.Reopens {
		within = reopenMinutes * time.Minute
	}
	return observe(c, in, in.Op == opHolder || in.Op == opRead, func(ctx context.Context) (slotOutput, error) {
		switch in.Op {
		case opFire:
			return slotOutputOf(l.manager.Fire(ctx, incident.Firing{
				Slot: slot, TriggerID: trigger, Severity: in.To, Title: "slot", Date: date, ReopenWithin: within,
			}))
		case opResolve:
			return slotOutputOf(l.manager.Resolve(ctx, incident.Resolution{Slot: slot, TriggerID: trigger, Date: date}))
		case opGrade:
			return slotOutputOf(l.manager.UpdateStatus(ctx, key, incident.StatusUpdate{Status: in.To}))
		case opRead:
			inc, err := l.manager.Get(ctx, key)
			return slotOutputOf(incident.Result{Incident: inc}, err)
		}
		inc, _, err := l.manager.Active(ctx, slot)
		return slotOutputOf(incident.Result{Incident: inc}, err)
	})
}

// slotOutputOf makes an output of a result. Some errors are outputs too.
func slotOutputOf(r incident.Result, err error) (slotOutput, error) {
	var conflict *incident.ConflictError
	switch {
	case errors.As(err, &conflict):
		return slotOutput{Conflict: conflict.Existing.Identifier}, nil
	case errors.Is(err, incident.ErrNotFound):
		return slotOutput{NotFound: true}, nil
	}
	return slotOutput{Identifier: r.Identifier, Status: r.Status, Version: r.Version, Changed: r.Changed}, err
}
