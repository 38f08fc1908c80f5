package sqlite

import (
	"bytes"
	"slices"

	"github.com/incidentkit/incident"
)

const (
	linkSQL    = `INSERT INTO incident_project (organization_id, project_id, date_started, identifier) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`
	unlinkSQL  = `DELETE FROM incident_project WHERE organization_id = ? AND project_id = ? AND date_started = ? AND identifier = ?`
	labelSQL   = `INSERT INTO incident_label (organization_id, digest, date_started, identifier) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`
	unlabelSQL = `DELETE FROM incident_label WHERE organization_id = ? AND digest = ? AND date_started = ? AND identifier = ?`
)

// lists are the lists that have an incident at a start.
type lists struct {
	projects []incident.ProjectID
	digests  [][]byte
}

// writeLists removes the incident from the lists of projects, labels and assignees that it
// leaves, and adds it to those that it enters. If the start moves, the incident leaves all its
// lists, and enters them at the new start.
func (w *writing) writeLists() error {
	if w.Incident == nil {
		return nil
	}
	leave, enter := w.moves()
	for _, p := range leave.projects {
		if err := w.run(unlinkSQL, string(p), micro(w.before.started), w.identifier); err != nil {
			return err
		}
	}
	for _, d := range leave.digests {
		if err := w.run(unlabelSQL, d, micro(w.before.started), w.identifier); err != nil {
			return err
		}
	}
	for _, p := range enter.projects {
		if err := w.run(linkSQL, string(p), micro(w.Incident.DateStarted), w.identifier); err != nil {
			return err
		}
	}
	for _, d := range enter.digests {
		if err := w.run(labelSQL, d, micro(w.Incident.DateStarted), w.identifier); err != nil {
			return err
		}
	}
	return nil
}

// moves returns the lists that the incident leaves and enters.
func (w *writing) moves() (leave, enter lists) {
	assignee, assigneeBefore := assigneeOf(w.Incident), w.before.assignee
	isNew := w.Key.Identifier == 0
	stays := !isNew && w.before.started.Equal(w.Incident.DateStarted)
	if stays && assignee == assigneeBefore {
		assignee, assigneeBefore = "", ""
	}
	enter = lists{w.Link, digestsOf(w.AddLabels, assignee)}
	if isNew {
		return leave, enter
	}
	leave = lists{w.Unlink, digestsOf(w.RemoveLabels, assigneeBefore)}
	if stays {
		return leave, enter
	}
	kept := slices.DeleteFunc(slices.Clone(w.Incident.Projects), func(p incident.ProjectID) bool { return slices.Contains(w.Link, p) })
	leave.projects = slices.Concat(kept, w.Unlink)
	enter.projects = w.Incident.Projects
	for name, value := range w.Incident.Labels {
		d := labelDigest(incident.Label{Name: name, Value: value})
		if !slices.ContainsFunc(enter.digests, func(other []byte) bool { return bytes.Equal(other, d) }) {
			leave.digests, enter.digests = append(leave.digests, d), append(enter.digests, d)
		}
	}
	return leave, enter
}
