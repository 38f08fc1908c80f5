package postgres

import (
	"strconv"

	"github.com/incidentkit/incident"
)

// The list of projects with conditions is merged in batches. If each project were read until it
// filled the page by itself, a project without a match would be read to its end.
//
//  1. A batch reads some of the next places of each part, by the indexes alone. The parts are the
//     projects, and the incidents that affect no project.
//  2. The edge is the first of the last places of those parts that may have more. Up to the edge
//     the batch has the places of all parts.
//  3. The incidents of these places are checked by the conditions.
//  4. Unless the page is full, or no part has more, the next batch begins at the edge. It reads of
//     each part twice as many places as the part had up to the edge, so that little of a part whose
//     places are far away is read again and again.

const (
	// maxBatch is the most places of a part in a batch. The planner expects a tenth of it.
	maxBatch = 512

	// leastBatch is the least places of a part in the first batch.
	leastBatch = 8
)

// edgeKey is the place where a batch begins.
type edgeKey struct{}

func (edgeKey) addTo(l *listing, operator string) {
	l.add(" AND (date_started, identifier) " + operator + " (b.started, b.identifier)")
}

// addProjectBatches adds the places of the first incidents of the projects that meet the
// conditions, in no order.
func (l *listing) addProjectBatches(projects []incident.ProjectID) {
	begin, after, before, upTo := l.before, bound(l.after), bound(edgeKey{}), ">="
	if l.Reverse {
		begin, after, before, upTo = l.after, edgeKey{}, l.before, "<="
	}
	wanted := l.parameter(idArray(projects))
	first := min(max(3*l.Limit/(len(projects)+1), leastBatch), maxBatch)
	l.add(`
	WITH RECURSIVE`)
	if l.start != 0 {
		l.add(` since AS MATERIALIZED (
		SELECT `+earliestInWindow+` AS started
	),`, l.start)
	}
	l.add(` batch AS (
		SELECT ?::timestamptz AS started, ?::bigint AS identifier,
			array_fill(?::bigint, ARRAY[1 + cardinality(?::text[])]) AS sizes, true AS more,
			0::bigint AS found, NULL::timestamptz[] AS starts, NULL::bigint[] AS identifiers
		UNION ALL
		SELECT next.*
		FROM batch b
		CROSS JOIN LATERAL (
			WITH part AS MATERIALIZED (`, begin.started, begin.identifier, int64(first), wanted)
	l.addBatchParts(wanted, after, before)
	l.add(`
			), edge AS MATERIALIZED (
				SELECT starts[size] AS started, identifiers[size] AS identifier
				FROM part
				WHERE cardinality(starts) = size
				ORDER BY started ` + l.direction + `, identifier ` + l.direction + `
				LIMIT 1
			), passed AS MATERIALIZED (
				SELECT part.n, places.*
				FROM part
				CROSS JOIN LATERAL (
					SELECT array_agg(date_started) AS starts, array_agg(identifier) AS identifiers
					FROM unnest(starts, identifiers) AS place (date_started, identifier)
					WHERE NOT EXISTS (SELECT FROM edge)
						OR (place.date_started, place.identifier) ` + upTo + ` (SELECT started, identifier FROM edge)
				) places
			)
			SELECT (SELECT started FROM edge), (SELECT identifier FROM edge), (
				SELECT array_agg(least(greatest(2 * cardinality(passed.starts), 1), ` + strconv.Itoa(maxBatch) + `) ORDER BY n)
				FROM passed
			), EXISTS (SELECT FROM edge), b.found + count(*), array_agg(p.date_started), array_agg(p.identifier)
			FROM (
				SELECT DISTINCT place.*
				FROM passed, unnest(starts, identifiers) AS place (date_started, identifier)
			) p`)
	l.addChecked("")
	l.add(`
		) next
		WHERE b.more AND b.found < (SELECT ?::bigint)
	)
	SELECT place.*
	FROM batch, unnest(starts, identifiers) AS place (date_started, identifier)`, l.limit)
}

// addBatchParts adds a row for each part, with the places of a batch. The part without a project
// has the incidents that affect none.
func (l *listing) addBatchParts(wanted reference, after, before bound) {
	l.add(`
				SELECT wanted.n, wanted.size, found.starts, found.identifiers
				FROM unnest((SELECT ?::text[]), b.sizes) WITH ORDINALITY AS wanted (project, size, n)
				CROSS JOIN LATERAL (
					SELECT array_agg(date_started) AS starts, array_agg(identifier) AS identifiers
					FROM (
						(
	SELECT date_started, identifier
	FROM @incident_project
	WHERE organization_id = $1 AND project_id = wanted.project`, wanted)
	l.addBetween(after, before)
	if l.start != 0 {
		l.add(" AND date_started >= (SELECT started FROM since)")
	}
	l.addBatchOrder()
	l.add(`
						) UNION ALL (
	SELECT date_started, identifier
	FROM @incident
	WHERE organization_id = $1 AND projects = '{}' AND wanted.project IS NULL AND (SELECT ?::boolean)`, len(l.Projects) == 0)
	l.addBetween(after, before)
	l.addBatchOrder()
	l.add(`
						)
						LIMIT wanted.size
					) first
				) found`)
}

func (l *listing) addBatchOrder() {
	l.add(`
	ORDER BY date_started ` + l.direction + `, identifier ` + l.direction + `
	LIMIT ` + strconv.Itoa(maxBatch))
}
