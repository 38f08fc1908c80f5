package sqlite

import (
	"context"
	"time"

	"github.com/incidentkit/incident"
)

// Purge, DeleteOrganization and EraseUser find incidents on a connection that reads. A write then
// checks each of them again, and deletes or changes it. Only the write makes other writers wait,
// those of this process and of others. Therefore it ends after portionTime, or after yieldTime while
// another write of this process waits, but not within an incident.

// portionTime and yieldTime are how long a portion takes, beside its last incident and its commit.
const (
	portionTime = 2 * time.Millisecond
	yieldTime   = 500 * time.Microsecond
)

// mostVisited is the most incidents that a call visits.
const mostVisited = 250

var errRetentionTx = &incident.FieldError{Field: "tx", Problem: "cannot purge, erase, delete or lease; call the store outside the transaction"}

// portion is what one write does of a purge, a deletion or an erasure.
type portion struct {
	session
	ctx   context.Context // of the statements; it does not end
	org   incident.OrganizationID
	start time.Time

	awaited func() bool // reports whether another write waits
}

func (s *Store) newPortion(ctx context.Context, q session, org incident.OrganizationID) portion {
	return portion{session: q, ctx: ctx, org: org, start: time.Now(), awaited: s.writer.isAwaited}
}

// isLate reports whether the portion has taken long enough.
func (p *portion) isLate() bool { return isLate(time.Since(p.start), p.awaited) }

func isLate(took time.Duration, awaited func() bool) bool {
	return took > portionTime || took > yieldTime && awaited()
}

// listed is an incident with the sequence of its last activity.
type listed struct {
	incident.Incident
	activities int64
}

func (l *listed) version() incident.IncidentVersion {
	return incident.IncidentVersion{Key: l.Key(), Version: l.Version, Activities: l.activities}
}

const listedSQL = `SELECT i.activities, ` + incidentColumns + ` FROM incident i WHERE i.organization_id = ? AND i.identifier = ?`

// read returns an incident, and false if it does not exist.
func (p *portion) read(identifier int64) (inc listed, found bool, err error) {
	dest := append([]column{integer(&inc.activities)}, scanIncident(p.org, &inc.Incident)...)
	found, err = queryOne(p.ctx, p, listedSQL, []any{string(p.org), identifier}, dest...)
	return inc, found, err
}
