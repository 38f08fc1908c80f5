package pgtest

import (
	"context"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"
)

// auditActiveSQL compares incident_active with the incidents. An incident is outdated if listed is not
// what a library that knows the table writes: the version, or NULL if the incident is closed.
const auditActiveSQL = `
WITH wanted AS (
	SELECT i.organization_id, left(encode(sha256(convert_to('project:' || p.id, 'UTF8')), 'hex'), 32)::uuid AS digest,
		i.date_started, i.identifier
	FROM @incident i, unnest(i.projects) AS p (id)
	WHERE i.status <> 2
	UNION
	SELECT i.organization_id, l.digest, i.date_started, i.identifier
	FROM @incident i
	JOIN @incident_label l USING (organization_id, date_started, identifier)
	WHERE i.status <> 2
), outdated AS (
	SELECT organization_id, identifier
	FROM @incident
	WHERE listed IS DISTINCT FROM CASE WHEN status <> 2 THEN version END
), missing AS (
	SELECT * FROM wanted EXCEPT SELECT * FROM @incident_active
), excess AS (
	SELECT * FROM @incident_active EXCEPT SELECT * FROM wanted
)
SELECT
	(SELECT count(*) FROM missing WHERE (organization_id, identifier) NOT IN (SELECT * FROM outdated)) AS missing,
	(SELECT count(*) FROM excess WHERE (organization_id, identifier) NOT IN (SELECT * FROM outdated)) AS excess,
	(SELECT count(*) FROM outdated) AS outdated`

// AuditActive compares the table incident_active of a store in a schema with its incidents. It returns the
// number of outdated incidents, which a library that does not know the table was the last to write. The
// rows of all others must be as they should be.
func AuditActive(ctx context.Context, pool *sqlx.DB, schema string) (outdated int, err error) {
	var found struct{ Missing, Excess, Outdated int }
	if err := pool.GetContext(ctx, &found, strings.ReplaceAll(auditActiveSQL, "@", schema+".")); err != nil {
		return 0, fmt.Errorf("audit of incident_active: %w", err)
	}
	if found.Missing+found.Excess > 0 {
		err = fmt.Errorf("incident_active lacks %d rows, and has %d that it must not have", found.Missing, found.Excess)
	}
	return found.Outdated, err
}
