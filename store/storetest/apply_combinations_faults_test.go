package storetest

import (
	"context"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// combinationFaults lose a part of a change beside certain other parts.
func combinationFaults() []fault {
	creations, changes := []string{"Apply/WritesEachCombinationOfACreation"}, []string{"Apply/WritesEachCombinationOfAChange"}
	both := append(creations, changes...)
	losing := func(lose func(c *incident.Change)) func(s incident.Store) incident.Store {
		return func(s incident.Store) incident.Store {
			return altering(s, func(_ context.Context, c *incident.Change) {
				if c.Incident != nil {
					lose(c)
				}
			})
		}
	}
	return []fault{
		{"LabelsLostBesideSubscriptions", losing(func(c *incident.Change) {
			if len(c.Subscriptions) > 0 {
				c.AddLabels, c.Incident.Labels = nil, nil
			}
		}), both},
		{"TriggersLostBesideLabels", losing(func(c *incident.Change) {
			if len(c.AddLabels) > 0 {
				c.Triggers = nil
			}
		}), both},
		{"SubscriptionsLostBesideTriggersAndLabels", losing(func(c *incident.Change) {
			if len(c.AddLabels) > 0 && len(c.Triggers) > 0 {
				c.Subscriptions = nil
			}
		}), both},
		{"ThirdActivityLostBesideADetection", losing(func(c *incident.Change) {
			if c.Incident.DetectionUUID != uuid.Nil {
				c.Activities = c.Activities[:min(len(c.Activities), 2)]
			}
		}), creations},
		{"SlotsLostBesideLabelsAndTriggers", losing(func(c *incident.Change) {
			if len(c.AddLabels) > 0 && len(c.Triggers) > 0 {
				c.Claim = nil
			}
		}), both},
		{"SubscriptionsLostBesideAnExpectedSlot", losing(func(c *incident.Change) {
			if c.ExpectSlot != nil {
				c.Subscriptions = nil
			}
		}), both},
		{"ReleaseLostBesideAResponse", losing(func(c *incident.Change) {
			if c.Incident.Response != nil {
				c.Release = nil
			}
		}), changes},
		{"StartLostBesideProjects", losing(func(c *incident.Change) {
			if len(c.Link) > 0 && !isNew(*c) {
				c.Incident.DateStarted = c.StartedBefore
			}
		}), changes},
		{"ActivityLostBesideTheEnd", losing(func(c *incident.Change) {
			if c.Incident.DateClosed != nil && len(c.Triggers) > 0 {
				c.Activities = nil
			}
		}), changes},
	}
}
