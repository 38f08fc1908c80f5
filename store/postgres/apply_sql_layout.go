package postgres

import (
	"slices"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// layout decides the text of a change's statement. The usual changes have texts of their own
// that write no more than necessary. Every other change has the general layout of its kind:
// it contains everything, and its lists may be empty. Therefore there are few texts:
//
//	creations   by a user or a program; of a firing; both also brief; with a
//	            DetectionUUID; general
//	updates     with one activity: with or without triggers, slots and subscriptions;
//	            of triggers alone; general
//	appended    one activity, with or without subscriptions; subscriptions; general
//
// Most of these come with and without a queue for a notifier.
type layout struct {
	log        int  // the number of activities, or listOfArrays
	queues     bool // queues the activities for a notifier
	looks      bool // looks for an earlier write of the change
	detects    bool // looks for the DetectionUUID
	slots      bool // claims or releases slots
	links      bool // links or unlinks projects; a creation links in every layout
	triggers   bool // writes triggers
	subscribes bool // writes subscriptions
	brief      bool // a brief creation: see addBriefCreation
}

// listOfArrays stands for any number of activities.
const listOfArrays = -1

func (w *writing) layout() layout {
	isNew := w.Key.Identifier == 0
	l := layout{
		log:        len(w.Activities),
		queues:     w.Notify && len(w.Activities) > 0,
		looks:      w.looks && len(w.Activities) > 0,
		detects:    isNew && w.Incident.DetectionUUID != uuid.Nil,
		slots:      len(w.Claim)+len(w.Release) > 0,
		links:      len(w.Unlink) > 0 || len(w.Link) > 0 && !isNew,
		triggers:   len(w.Triggers) > 0,
		subscribes: len(w.Subscriptions) > 0,
	}
	if l.isUsual(isNew, w.Incident != nil) && isUsualLog(w.Activities) {
		l.brief = isNew && !l.detects && w.isBrief()
		return l
	}
	return layout{
		log: listOfArrays, queues: l.queues, looks: true, detects: isNew,
		slots: true, links: !isNew, triggers: true, subscribes: true,
	}
}

func (l *layout) isUsual(isNew, hasRow bool) bool {
	switch {
	case isNew:
		ofUser := l.log == 2 && !l.slots && !l.triggers
		ofFiring := l.log == 3 && l.slots && l.triggers && !l.subscribes && !l.detects
		return !l.looks && (ofUser || ofFiring)
	case l.links:
		return false
	case hasRow:
		return l.log == 1 || l.log == 0 && l.triggers && !l.slots && !l.subscribes
	}
	return !l.slots && !l.triggers && (l.log == 1 || l.log == 0 && l.subscribes)
}

// isUsualLog reports whether the activities are new, and have the same user and comment.
func isUsualLog(log []incident.Activity) bool {
	return !slices.ContainsFunc(log, func(a incident.Activity) bool {
		return a.Revision != 0 || a.DateEdited != nil || a.DateDeleted != nil || a.UserID != log[0].UserID || a.Comment != log[0].Comment
	})
}
