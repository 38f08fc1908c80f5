package main

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/incidentkit/incident"
)

// demoDays is how far the demonstration reaches back.
const demoDays = 30

// fillDemo fills a store without incidents with the demonstration, which ends at now. It returns the
// number of incidents. A store with incidents stays as it is.
//
// A program that is killed meanwhile leaves an empty store, since a single transaction writes the whole
// month. The calls are those of people and tools, in their order, by a clock that moves with them.
func fillDemo(ctx context.Context, store incident.Store, now time.Time, log *slog.Logger) (n int, err error) {
	p := &player{random: rand.New(rand.NewPCG(1, 2))}
	incidents, err := incident.New(store, &incident.Options{Now: func() time.Time { return p.now }, Logger: log})
	if err != nil {
		return 0, err
	}
	p.now = now // for the check
	some, err := incidents.Organizations(ctx, "", 1)
	if err != nil || len(some) > 0 {
		return 0, err
	}
	p.plan(now.UTC().Truncate(time.Minute))
	return p.opened, incidents.InTx(ctx, func(tx incident.Manager) error {
		for _, s := range p.steps {
			p.now = s.at
			if err := s.do(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
}

// player plans the calls of the month, and makes them.
type player struct {
	random *rand.Rand
	now    time.Time
	steps  []step // in order of time
	opened int    // incidents
}

// step is a call at a time.
type step struct {
	at time.Time
	do func(ctx context.Context, tx incident.Manager) error
}

// plan plans a month that ends at end: two to five incidents a day, fewer at the weekend, none of them
// twice at the same time, and those that are active at the end.
func (p *player) plan(end time.Time) {
	busy := map[int]time.Time{} // when the last incident of a scenario ends
	for day := end.AddDate(0, 0, -demoDays); day.Before(end.AddDate(0, 0, -1)); day = day.AddDate(0, 0, 1) {
		count := 2 + p.random.IntN(4)
		if w := day.Weekday(); w == time.Saturday || w == time.Sunday {
			count = 1 + p.random.IntN(2)
		}
		for range count {
			i := p.random.IntN(len(scenarios))
			s := &scenarios[i]
			at := day.Add(time.Duration(p.random.IntN(22*60)) * time.Minute)
			length := time.Duration(s.shortest+p.random.IntN(s.longest-s.shortest)) * time.Minute
			if at.Before(busy[i]) || at.Add(length).After(end.Add(-6*time.Hour)) {
				continue
			}
			busy[i] = at.Add(length)
			p.past(s, at, length)
		}
	}
	for _, c := range current {
		p.present(&scenarios[c.scenario], end.Add(-time.Duration(c.ago)*time.Minute), c.severity, c.responder)
	}
	slices.SortStableFunc(p.steps, func(a, b step) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
}

func (p *player) add(at time.Time, do func(ctx context.Context, tx incident.Manager) error) {
	p.steps = append(p.steps, step{at, do})
}

// past plans an incident that has ended.
func (p *player) past(s *scenario, at time.Time, length time.Duration) {
	severity := incident.StatusWarning
	if p.random.IntN(100) < s.critical {
		severity = incident.StatusCritical
	}
	key := p.open(s, at, severity)
	responder := p.responder(s)
	if p.random.IntN(5) > 0 {
		p.respond(s, key, at.Add(length/10), responder)
	}
	for i, note := range s.notes {
		p.comment(key, at.Add(length*time.Duration(i+1)/time.Duration(len(s.notes)+2)), responder, note)
	}
	p.close(s, key, at.Add(length), responder)
}

// present plans an incident that is active.
func (p *player) present(s *scenario, at time.Time, severity incident.Status, responder incident.UserID) {
	key := p.open(s, at, severity)
	if responder == "" {
		return
	}
	p.respond(s, key, at.Add(4*time.Minute), responder)
	for i, note := range s.notes {
		p.comment(key, at.Add(time.Duration(7+3*i)*time.Minute), responder, note)
	}
}

// responder returns a user who can write to the scenario's incidents.
func (p *player) responder(s *scenario) incident.UserID {
	var users []incident.UserID
	for _, u := range demoUsers {
		if u.Organization == s.organization && !u.ReadOnly && (s.project == "" || u.sees([]incident.ProjectID{s.project})) && u.User != "alex" {
			users = append(users, u.User)
		}
	}
	return users[p.random.IntN(len(users))]
}
