package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/incidentkit/incident"
)

// promises records the reminders that a campaign has set.
type promises struct {
	mu  sync.Mutex // guards set
	set map[reminderID]*promise
}

// promise is a reminder that was set.
type promise struct {
	acknowledged bool  // Remind has returned without an error
	doubtful     bool  // something that ends it has begun
	ended        int64 // when that was acknowledged, in nanoseconds since 1970; 0 if it was not
}

// remindVerdict is the difference between the promises and the deliveries.
type remindVerdict struct {
	Set, Ended, Delivered, Repeated int

	Lost     int // acknowledged, never ended, and not delivered
	Late     int // delivered by an attempt that began after the acknowledged end
	Early    int // delivered by an attempt that began before its time
	Invented int
}

// insist repeats a call while the server is away, and returns false if ctx ends.
func insist(ctx context.Context, call func() error) (bool, error) {
	for ctx.Err() == nil {
		err := call()
		if !errors.Is(err, incident.ErrUnavailable) && !errors.Is(err, incident.ErrUnknownOutcome) {
			return err == nil, err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return false, nil
}

// keep sets, moves, cancels and ends reminders of an incident until ctx ends. The incident is open
// when it returns. Even on a slow machine it cancels a reminder, closes the incident, and sets a
// last reminder that stays.
func (p *promises) keep(ctx context.Context, m incident.Manager, key incident.Key) error {
	names := []string{"first", "second", "third"}
	notifiers := []string{"", toFailing, toHanging}
	whole := context.WithoutCancel(ctx) // a call that has begun is completed
	for i, isLast := 0, false; !isLast; i++ {
		isLast = i >= 2 && ctx.Err() != nil
		r := incident.Reminder{
			Name: names[rand.N(3)], Notifier: notifiers[rand.N(3)], Unless: incident.UnlessLowered * incident.Unless(rand.N(2)),
			At: time.Now().Add(50*time.Millisecond + rand.N(700*time.Millisecond)).Truncate(time.Microsecond),
		}
		end := rand.N(6)
		switch {
		case isLast:
			r.At, end = r.At.Add(2*time.Second), 2
		case i < 2:
			end = i
		}
		set := p.begin(key, r)
		ok, err := insist(whole, func() error { return m.Remind(whole, key, r) })
		switch {
		case ok:
			p.acknowledge(set, key, r.Name)
		case !errors.Is(err, incident.ErrInvalid): // it may be due already
			return err
		}
		time.Sleep(rand.N(400 * time.Millisecond))
		switch end {
		case 0:
			err = p.end(key, r.Name, func() error { return m.CancelReminder(whole, key, r.Name) })
		case 1:
			err = p.end(key, "", func() error { return setStatus(whole, m, key, incident.StatusClosed) })
			if err == nil {
				_, err = insist(whole, func() error { return setStatus(whole, m, key, incident.StatusOpen) })
			}
		}
		if err != nil && !errors.Is(err, incident.ErrInvalid) {
			return err
		}
	}
	return nil
}

func setStatus(ctx context.Context, m incident.Manager, key incident.Key, status incident.Status) error {
	_, err := m.UpdateStatus(ctx, key, incident.StatusUpdate{Status: status})
	return err
}

// begin records that a reminder is being set, which moves the other reminders of its name.
func (p *promises) begin(key incident.Key, r incident.Reminder) *promise {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.each(key, r.Name, func(other *promise) { other.doubtful = true })
	set := &promise{}
	notifier := r.Notifier
	if notifier == "" {
		notifier = toSteady
	}
	p.set[reminderID{key.String(), r.Name, notifier, r.At.UnixMicro()}] = set
	return set
}

// acknowledge records that a reminder was set, and that the others of its name were moved.
func (p *promises) acknowledge(set *promise, key incident.Key, name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.each(key, name, func(other *promise) {
		if other != set {
			other.close()
		}
	})
	set.acknowledged = true
}

// end ends the reminders of a name, or all of an incident.
func (p *promises) end(key incident.Key, name string, call func() error) error {
	p.mu.Lock()
	p.each(key, name, func(r *promise) { r.doubtful = true })
	p.mu.Unlock()
	_, err := insist(context.Background(), call)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.each(key, name, (*promise).close)
	return nil
}

func (p *promise) close() {
	if p.doubtful && p.ended == 0 {
		p.ended = time.Now().UnixNano()
	}
}

// each calls do for the reminders of an incident that have a name, or for all if name is empty.
func (p *promises) each(key incident.Key, name string, do func(*promise)) {
	for id, r := range p.set {
		if id.key == key.String() && (name == "" || id.name == name) {
			do(r)
		}
	}
}

// judge compares the promises with the deliveries.
func (p *promises) judge(box *post) (v remindVerdict, wrong []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	box.mu.Lock()
	defer box.mu.Unlock()
	note := func(count *int, what string, id reminderID, r *promise) {
		*count++
		wrong = append(wrong, fmt.Sprintf("%s: %+v %+v, attempts at %v", what, id, r, box.reminders[id]))
	}
	for id, r := range p.set {
		came := box.reminders[id]
		v.Set++
		if r.ended != 0 {
			v.Ended++
		}
		switch {
		case len(came) > 0:
			v.Delivered++
			v.Repeated += len(came) - 1
		case r.acknowledged && !r.doubtful:
			note(&v.Lost, "lost", id, r)
		}
		for _, began := range came {
			switch {
			case r.ended != 0 && began > r.ended:
				note(&v.Late, "after its end", id, r)
			case began < id.at*1000:
				note(&v.Early, "early", id, r)
			}
		}
	}
	for id := range box.reminders {
		if p.set[id] == nil {
			note(&v.Invented, "invented", id, &promise{})
		}
	}
	return v, wrong
}
