package storetest

import (
	"context"
	"errors"
	"strings"

	"github.com/incidentkit/incident"
)

func labelRoundTripFaults() []fault {
	creations, changes, long := "RoundTrip/KeepsLabels", "RoundTrip/KeepsLabelsOfAChange", "RoundTrip/KeepsTheLongestLabels"
	list := []fault{
		{"LabelsAreDropped", rewriting(func(inc *incident.Incident, _ bool) { inc.Labels = nil }), []string{creations, changes, long}},
		{"AnnotationsAreDropped", rewriting(func(inc *incident.Incident, _ bool) { inc.Annotations = nil }), []string{creations, changes, long}},
		{"AnnotationsAreTheLabels", rewriting(func(inc *incident.Incident, _ bool) { inc.Annotations = inc.Labels }), []string{creations, changes}},
		{"NoLabelsAreEmpty", rereading("", func(inc *incident.Incident) {
			if inc.Labels == nil {
				inc.Labels = map[string]string{}
			}
		}), []string{creations, changes}},
		{"NoAnnotationsAreEmpty", rereading("", func(inc *incident.Incident) {
			if inc.Annotations == nil {
				inc.Annotations = map[string]string{}
			}
		}), []string{creations, changes}},
		{"LabelsAreTrimmed", labelTexts(strings.TrimSpace), []string{creations}},
		{"LabelsAreComposed", labelTexts(composed), []string{creations}},
		{"LabelsAreUnescaped", labelTexts(func(s string) string { return strings.ReplaceAll(s, `\"`, `"`) }), []string{creations}},
		{"LabelsAreCut", labelTexts(func(s string) string { return s[:min(len(s), 2700)] }), []string{long}},
		{"NoLabelsStay", merging(func(inc *incident.Incident, stored incident.Incident) {
			if inc.Labels == nil {
				inc.Labels = stored.Labels
			}
		}), []string{changes}},
		{"NoAnnotationsStay", merging(func(inc *incident.Incident, stored incident.Incident) {
			if inc.Annotations == nil {
				inc.Annotations = stored.Annotations
			}
		}), []string{changes}},
		{"LabelsAreMerged", merging(func(inc *incident.Incident, stored incident.Incident) {
			for name, value := range stored.Labels {
				if _, found := inc.Labels[name]; !found && inc.Labels != nil {
					inc.Labels[name] = value
				}
			}
		}), []string{changes}},
		{"AnnotationsNeedALabel", annotationsNeedALabel, []string{changes}},
		{"CommentsClearLabels", commentsClearLabels, []string{changes}},
		{"LabelsOfAnotherCreation", labelsOfAnotherCreation, []string{"RoundTrip/KeepsLabelsUnderConcurrency"}},
	}
	for _, method := range []string{"Load", "LoadSlot", "LoadDetails", "Incidents", "Apply", replays, detections} {
		list = append(list, missingIn(method)...)
	}
	return list
}

// replays and detections stand for Apply of a known NotificationUUID and DetectionUUID.
const (
	replays    = "Replays"
	detections = "Detections"
)

// missingIn returns the faults of a method that does not read new columns.
func missingIn(method string) []fault {
	labels, duplicates, responses := "RoundTrip/KeepsLabels", "RoundTrip/KeepsDuplicates", "RoundTrip/KeepsResponses"
	if method == "LoadSlot" {
		labels = "RoundTrip/KeepsLabelsOfAChange"
	}
	return []fault{
		{"LabelsMissingIn" + method, rereading(method, func(inc *incident.Incident) { inc.Labels = nil }), []string{labels}},
		{"AnnotationsMissingIn" + method, rereading(method, func(inc *incident.Incident) { inc.Annotations = nil }), []string{labels}},
		{"ResponseMissingIn" + method, rereading(method, func(inc *incident.Incident) { inc.Response = nil }), []string{responses}},
		{"DuplicateMissingIn" + method, rereading(method, func(inc *incident.Incident) { inc.DuplicateOf = 0 }), []string{duplicates}},
	}
}

// rewriting changes the incident that Apply writes.
func rewriting(alter func(inc *incident.Incident, isNew bool)) func(s incident.Store) incident.Store {
	return func(s incident.Store) incident.Store {
		return altering(s, func(_ context.Context, c *incident.Change) {
			if c.Incident != nil {
				alter(c.Incident, isNew(*c))
			}
		})
	}
}

// merging changes the incident that a change writes, with the stored incident.
func merging(alter func(inc *incident.Incident, stored incident.Incident)) func(s incident.Store) incident.Store {
	return func(s incident.Store) incident.Store {
		return altering(s, func(ctx context.Context, c *incident.Change) {
			if st, err := s.Load(ctx, c.Key); err == nil && c.Incident != nil {
				alter(c.Incident, st.Incident)
			}
		})
	}
}

// rereading changes the incidents that a method returns. An empty name stands for all methods.
func rereading(method string, alter func(inc *incident.Incident)) func(s incident.Store) incident.Store {
	return func(s incident.Store) incident.Store {
		b := rereadingAll(s, alter)
		if method == "" {
			return b
		}
		one := &broken{Store: s}
		switch method {
		case "Load":
			one.load = b.load
		case "LoadSlot":
			one.loadSlot = b.loadSlot
		case "LoadDetails":
			one.loadDetails = b.loadDetails
		case "Incidents":
			one.incidents = b.incidents
		default:
			one.apply = func(ctx context.Context, c incident.Change) (incident.Applied, error) {
				applied, err := s.Apply(ctx, c)
				if method == outcomeOf(applied) && c.Incident != nil {
					alter(&applied.Incident)
				}
				return applied, err
			}
		}
		return one
	}
}

// outcomeOf returns the name of an outcome of Apply.
func outcomeOf(applied incident.Applied) string {
	switch {
	case applied.Activity != nil:
		return replays
	case applied.Replayed:
		return detections
	}
	return "Apply"
}

func rereadingAll(s incident.Store, alter func(inc *incident.Incident)) *broken {
	return &broken{
		Store: s,
		load: func(ctx context.Context, key incident.Key) (incident.State, error) {
			st, err := s.Load(ctx, key)
			alter(&st.Incident)
			return st, err
		},
		loadSlot: func(ctx context.Context, slot incident.Slot) (incident.SlotState, error) {
			st, err := s.LoadSlot(ctx, slot)
			if st.State != nil {
				alter(&st.State.Incident)
			}
			return st, err
		},
		loadDetails: func(ctx context.Context, key incident.Key, user incident.UserID) (incident.Details, error) {
			d, err := s.LoadDetails(ctx, key, user)
			alter(&d.Incident)
			return d, err
		},
		incidents: func(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
			page, err := s.Incidents(ctx, q)
			for i := range page {
				alter(&page[i])
			}
			return page, err
		},
		apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
			applied, err := s.Apply(ctx, c)
			if c.Incident != nil {
				alter(&applied.Incident)
			}
			return applied, err
		},
	}
}

// labelTexts changes the names and values of labels and annotations.
func labelTexts(store func(string) string) func(s incident.Store) incident.Store {
	changed := func(all map[string]string) map[string]string {
		if all == nil {
			return nil
		}
		stored := map[string]string{}
		for name, value := range all {
			stored[store(name)] = store(value)
		}
		return stored
	}
	return rewriting(func(inc *incident.Incident, _ bool) {
		inc.Labels, inc.Annotations = changed(inc.Labels), changed(inc.Annotations)
	})
}

// annotationsNeedALabel writes annotations only if a label has changed.
func annotationsNeedALabel(s incident.Store) incident.Store {
	return altering(s, func(ctx context.Context, c *incident.Change) {
		if st, err := s.Load(ctx, c.Key); err == nil && c.Incident != nil && len(c.AddLabels)+len(c.RemoveLabels) == 0 {
			c.Incident.Annotations = st.Incident.Annotations
		}
	})
}

// commentsClearLabels rewrites the row for a change without a row.
func commentsClearLabels(s incident.Store) incident.Store {
	return applying(s, func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		applied, err := s.Apply(ctx, c)
		if st, err2 := s.Load(ctx, c.Key); err2 == nil && c.Incident == nil {
			after := st
			after.Incident.Labels = nil
			_, err2 = s.Apply(ctx, update(st, after))
			err = errors.Join(err, err2)
		}
		return applied, err
	})
}

// labelsOfAnotherCreation mixes up the labels of creations at the same time.
func labelsOfAnotherCreation(s incident.Store) incident.Store {
	var latest registry[incident.OrganizationID, incident.Incident]
	return altering(s, func(_ context.Context, c *incident.Change) {
		if c.Incident == nil || !isNew(*c) {
			return
		}
		latest.put(acme, *c.Incident)
		pause()
		other, _ := latest.get(acme)
		c.Incident.Labels, c.Incident.Annotations, c.Incident.Response = other.Labels, other.Annotations, other.Response
	})
}
