package sqlite

import (
	"context"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/incidentkit/incident"
)

// A position is the identity of a history and the number of its last transaction. Commits are
// serial, so that the transactions after a position are those with a greater number. A backup
// that is restored has a history of its own.
//
// A deleted incident is reported by its deletion record. The history has the number of the last
// transaction whose records were removed: the changes after an earlier position are not known.

// maxChanges bounds the changes of a call. Beyond it the feed resets: emptying the cache is
// the cheaper way to catch up.
const maxChanges = 20_000

const changedIncidentsSQL = `
SELECT organization_id, identifier, version, activities FROM incident WHERE changed > ? ORDER BY changed LIMIT ?`

const deletedIncidentsSQL = `
SELECT organization_id, identifier, version, activities FROM incident_deleted WHERE changed > ? ORDER BY changed LIMIT ?`

const changedSlotsSQL = `
SELECT organization_id, alert_rule_id, project_id, query_id, version FROM incident_slot WHERE changed > ? ORDER BY changed LIMIT ?`

var errFeedInTx = &incident.FieldError{Field: "tx", Problem: "has no feed; call the store outside the transaction"}

// Changes implements [incident.FeedStore].
func (s *Store) Changes(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
	if s.tx != nil {
		return incident.FeedChanges{}, translate(ctx, "changes", errFeedInTx)
	}
	if err := s.file.check(); err != nil {
		return incident.FeedChanges{}, translate(ctx, "changes", err)
	}
	return read(ctx, s, "changes", longSnapshot, func(ctx context.Context, q session) (incident.FeedChanges, error) {
		return changes(ctx, q, since)
	})
}

func changes(ctx context.Context, q session, since incident.FeedPosition) (c incident.FeedChanges, err error) {
	present, err := readPosition(ctx, q)
	if err != nil {
		return c, err
	}
	c.Position = present.text()
	if since == "" {
		return c, nil
	}
	from, ok := parsePosition(since)
	c.Reset = !ok || from.history != present.history || from.number > present.number || from.number < present.forgotten
	if c.Reset || from.number == present.number {
		return c, nil
	}
	iv := incident.IncidentVersion{}
	for _, statement := range []string{changedIncidentsSQL, deletedIncidentsSQL} {
		err = queryEach(ctx, q, statement, []any{from.number, maxChanges + 1}, func() { c.Incidents = append(c.Incidents, iv) },
			text(&iv.Key.OrganizationID), integer(&iv.Key.Identifier), integer(&iv.Version), integer(&iv.Activities))
		if err != nil {
			return c, err
		}
	}
	sv := incident.SlotVersion{}
	err = queryEach(ctx, q, changedSlotsSQL, []any{from.number, maxChanges + 1}, func() { c.Slots = append(c.Slots, sv) },
		text(&sv.Slot.OrganizationID), text(&sv.Slot.AlertRuleID), text(&sv.Slot.ProjectID), text(&sv.Slot.QueryID), integer(&sv.Version))
	if c.Reset = len(c.Incidents)+len(c.Slots) > maxChanges; c.Reset {
		c.Incidents, c.Slots = nil, nil
	}
	return c, err
}

// position is a parsed [incident.FeedPosition].
type position struct {
	history   string
	number    int64
	forgotten int64 // of the present position: earlier positions are a Reset
}

func readPosition(ctx context.Context, q session) (p position, err error) {
	found, err := queryOne(ctx, q, `SELECT lower(hex(history)), transactions, forgotten FROM incident_history`, nil,
		text(&p.history), integer(&p.number), integer(&p.forgotten))
	if err == nil && !found {
		err = errNoHistory
	}
	return p, err
}

func (p position) text() incident.FeedPosition {
	return incident.FeedPosition(p.history + "/" + strconv.FormatInt(p.number, 10))
}

// parsePosition returns false for a text that is not a position of this version of the package.
func parsePosition(text incident.FeedPosition) (p position, ok bool) {
	history, number, _ := strings.Cut(string(text), "/")
	id, err := hex.DecodeString(history)
	if err != nil || len(id) != 16 {
		return p, false
	}
	p.history = history
	p.number, err = strconv.ParseInt(number, 10, 64)
	return p, err == nil && p.number >= 0 && p.text() == text
}
