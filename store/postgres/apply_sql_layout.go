package postgres

import (
	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// layout decides the text of a change's statement. The usual changes have texts of their own
// that write no more than necessary. Every other change has the general layout of its kind:
// it contains everything, and its lists may be empty. Therefore there are few texts:
//
//	creations   by a user or a program: brief, plain, or with labels and a DetectionUUID;
//	            of a firing: brief, with or without an expected slot, or with an expected
//	            slot, with or without labels; general
//	updates     with one activity: with or without triggers, slots with triggers, and
//	            subscriptions; with one activity, labels and subscriptions; with one
//	            activity, triggers, subscriptions, and the end of the reminders, with or
//	            without slots; of triggers alone; general
//	appended    one activity, with or without subscriptions; subscriptions; general
//
// Most of these come without a queue, with a queue for the notifier without a name, and with
// queues for any notifiers.
type layout struct {
	log        int // the number of activities, or listOfArrays
	queues     queues
	looks      bool // looks for an earlier write of the change
	detects    bool // looks for the DetectionUUID
	slots      bool // claims or releases slots
	links      bool // links or unlinks projects; a creation links in every layout
	labels     bool // lists or unlists labels and assignees; a creation also sets optional fields
	expects    bool // expects the version of a slot
	triggers   bool // writes triggers
	subscribes bool // writes subscriptions
	relists    bool // changes the lists of active incidents; a creation always lists
	ends       bool // ends the reminders
	brief      bool // a brief creation: see addBriefCreation
}

// listOfArrays stands for any number of activities.
const listOfArrays = -1

func (w *writing) layout() layout {
	isNew := w.Key.Identifier == 0
	l := layout{
		log:        len(w.Activities),
		queues:     w.queues(),
		looks:      w.looks && len(w.Activities) > 0,
		detects:    isNew && w.Incident.DetectionUUID != uuid.Nil,
		slots:      len(w.Claim)+len(w.Release) > 0,
		links:      len(w.unlink) > 0 || len(w.link) > 0 && !isNew,
		labels:     len(w.label)+len(w.unlabel) > 0 || isNew && w.optional != nil,
		expects:    w.ExpectSlot != nil,
		triggers:   len(w.Triggers) > 0,
		subscribes: len(w.Subscriptions) > 0,
		relists:    isNew || !w.relist.isEmpty(),
		ends:       w.EndReminders && !isNew,
	}
	if l.isUsual(isNew, w.Incident != nil) && isUsualLog(w.Activities) {
		l.brief = isNew && !l.detects && w.isBrief()
		return l.joined(isNew)
	}
	return layout{
		log: listOfArrays, queues: l.queues, looks: true, detects: isNew,
		slots: true, links: !isNew, labels: true, expects: true, triggers: true, subscribes: true,
		relists: isNew || w.Incident != nil, ends: !isNew,
	}
}

func (l *layout) isUsual(isNew, hasRow bool) bool {
	switch {
	case isNew:
		ofUser := l.log == 2 && !l.slots && !l.triggers && !l.expects
		ofFiring := l.log == 3 && l.slots && l.triggers && !l.subscribes && !l.detects
		return !l.looks && (ofUser || ofFiring)
	case l.links, l.expects, l.labels && (l.slots || l.triggers || l.ends), l.ends && (!hasRow || l.log == 0):
		return false
	case hasRow:
		return l.log == 1 || l.log == 0 && l.triggers && !l.slots && !l.subscribes
	}
	return !l.slots && !l.triggers && (l.log == 1 || l.log == 0 && l.subscribes)
}

// joined returns a usual layout with the rarer parts that share a text.
func (l layout) joined(isNew bool) layout {
	switch {
	case l.brief:
	case isNew && l.slots:
		l.expects = true
	case isNew:
		l.labels = l.labels || l.detects
		l.detects = l.labels
	case l.ends:
		l.triggers, l.subscribes, l.relists = true, true, true
	case l.slots:
		l.triggers, l.relists = true, true
	case l.labels:
		l.subscribes, l.relists = true, true
	}
	return l
}

// isUsualLog reports whether the activities are new, and have the same user and comment. If
// there are several, only the status change of an opening may have a trigger.
func isUsualLog(log []incident.Activity) bool {
	for i := range log {
		a := &log[i]
		if a.Revision != 0 || a.DateEdited != nil || a.DateDeleted != nil || a.UserID != log[0].UserID || a.Comment != log[0].Comment {
			return false
		}
		if len(log) > 1 && (a.Field != "" || a.Old != "" || a.New != "" || a.TriggerID != "" && i < statusChange) {
			return false
		}
	}
	return true
}
