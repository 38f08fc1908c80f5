package incident_test

import (
	"testing"

	"github.com/incidentkit/incident"
)

// An episode that was not resolved yet is followed by the next, and its resolution is delivered
// last.
func TestFire_nextEpisodeOutdatesTheResolutionOfTheLast(t *testing.T) {
	s := newSource(t)
	s.clock, s.firing.Episode = at(30), true
	opened := s.fire("5%", warning, 0)
	s.want(opened, 1, warning, true)
	s.want(s.fire("5%", warning, 0), 1, warning, false)
	s.want(s.fire("5%", warning, 20), 1, warning, true)
	s.want(s.fire("5%", warning, 20), 1, warning, false)
	s.want(s.fire("5%", warning, 0), 1, warning, false)
	s.want(s.resolve("5%", 10), 1, warning, false)
	if got := s.trigger(opened.Key(), "5%"); !got.DateAdded.Equal(at(0)) || !got.DateModified.Equal(at(20)) {
		t.Errorf("trigger is %+v, want it added at %s and modified at %s", got, at(0), at(20))
	}
	page, err := s.m.Activities(t.Context(), opened.Key(), incident.ActivityFilter{})
	if err != nil {
		t.Fatal(err)
	}
	last := page.Activities[len(page.Activities)-1]
	if last.Type != incident.ActivityTypeTriggerFired || last.PreviousValue != warning || last.Value != warning || !last.DateAdded.Equal(at(20)) {
		t.Errorf("the last activity is %+v, want a TriggerFired at %s", last, at(20))
	}
	s.want(s.resolve("5%", 25), 1, ended, true)
}

// A source may hold a firing back until another of the slot has ended.
func TestFire_episodeWithinTheLastIncidentOpensAnother(t *testing.T) {
	s := newSource(t)
	s.clock = at(30)
	s.want(s.fire("20%", critical, 0), 1, critical, true)
	s.want(s.resolve("20%", 20), 1, ended, true)
	s.want(s.fire("5%", warning, 10), 1, ended, false)
	s.firing.Episode = true
	s.want(s.fire("20%", critical, 0), 1, ended, false)
	opened := s.fire("5%", warning, 10)
	s.want(opened, 2, warning, true)
	if !opened.DateStarted.Equal(at(10)) {
		t.Errorf("started at %s, want %s", opened.DateStarted, at(10))
	}
}

func TestFire_episodeAheadOfNowBeginsOnce(t *testing.T) {
	s := newSource(t)
	s.firing.Episode = true
	s.clock = at(0)
	s.want(s.fire("5%", warning, 10), 1, warning, true)
	s.clock = at(5)
	s.want(s.fire("5%", warning, 10), 1, warning, false)
	s.clock = at(15)
	s.want(s.fire("5%", warning, 10), 1, warning, true)
	s.want(s.fire("5%", warning, 10), 1, warning, false)
}
