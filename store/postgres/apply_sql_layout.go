package postgres

import (
	"slices"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// layout is what the text of a change's statement depends on. The usual changes have
// texts of their own, which write no more than they must. Every other change has the
// general layout of its kind, in which nothing is left out and lists may be empty. So
// there are few texts, whatever is written:
//
//	creations   by a user or a program; of a firing; both also brief; with a
//	            DetectionUUID; general
//	updates     with one activity: with or without triggers, slots and subscriptions;
//	            of triggers alone; general
//	appended    one activity, with or without subscriptions; subscriptions; general
//
// Most of them come with and without a queue for a notifier.
type layout struct {
	log     int  // how many activities are listed, or listOfArrays
	queues  bool // for a notifier
	looks   bool // whether the change was written before
	detects bool // whether the DetectionUUID is known
	slots   bool
	links   bool // and unlinks; a creation links its projects in any layout
	fires   bool // changes triggers
	follows bool
	brief   bool // a creation: see addBriefCreation
}

// listOfArrays is any number of activities.
const listOfArrays = -1

func (w *writing) layout() layout {
	isNew := w.Key.Identifier == 0
	l := layout{
		log:     len(w.Activities),
		queues:  w.Notify && len(w.Activities) > 0,
		looks:   w.looks && len(w.Activities) > 0,
		detects: isNew && w.Incident.DetectionUUID != uuid.Nil,
		slots:   len(w.Claim)+len(w.Release) > 0,
		links:   len(w.Unlink) > 0 || len(w.Link) > 0 && !isNew,
		fires:   len(w.Triggers) > 0,
		follows: len(w.Subscriptions) > 0,
	}
	if l.isUsual(isNew, w.Incident != nil) && isUsualLog(w.Activities) {
		l.brief = isNew && !l.detects && w.isBrief()
		return l
	}
	return layout{
		log: listOfArrays, queues: l.queues, looks: true, detects: isNew,
		slots: true, links: !isNew, fires: true, follows: true,
	}
}

func (l *layout) isUsual(isNew, hasRow bool) bool {
	switch {
	case isNew:
		ofUser := l.log == 2 && !l.slots && !l.fires
		ofFiring := l.log == 3 && l.slots && l.fires && !l.follows && !l.detects
		return !l.looks && (ofUser || ofFiring)
	case l.links:
		return false
	case hasRow:
		return l.log == 1 || l.log == 0 && l.fires && !l.slots && !l.follows
	}
	return !l.slots && !l.fires && (l.log == 1 || l.log == 0 && l.follows)
}

// isUsualLog reports whether the activities are new ones of one user or program.
func isUsualLog(log []incident.Activity) bool {
	return !slices.ContainsFunc(log, func(a incident.Activity) bool {
		return a.Revision != 0 || a.DateEdited != nil || a.DateDeleted != nil || a.UserID != log[0].UserID || a.Comment != log[0].Comment
	})
}
